#!/bin/bash
# Installs Synapse, the homeserver that the tests of federation meet, into a Python environment of its own, and prints the path
# of that environment's Python. It is kept for the next run. Fails with one line on standard error.
#   HEARTH_TEST_CACHE  folder to keep it in (~/.cache/hearth-tests)
set -euo pipefail

version=1.163.2
folder=${HEARTH_TEST_CACHE:-$HOME/.cache/hearth-tests}/synapse-$version
python=$folder/bin/python

if [[ ! -f $folder/installed ]]; then
  command -v python3 >/dev/null || { echo 'there is no python3' >&2; exit 1; }
  mkdir -p "$folder"
  # Two runs at a time must not install into the same folder.
  exec 9>"$folder/lock"
  flock 9
  if [[ ! -f $folder/installed ]]; then
    # Only built packages: this is no machine to compile Rust on.
    { python3 -m venv "$folder" && "$python" -m pip install --only-binary matrix-synapse "matrix-synapse==$version"; } \
      >"$folder/install.log" 2>&1 || { echo "pip failed, see $folder/install.log" >&2; exit 1; }
    touch "$folder/installed"
  fi
fi
echo "$python"
