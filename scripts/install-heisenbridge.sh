#!/bin/bash
# Installs heisenbridge, a bridge to IRC, and an IRC server into a Python environment of their own, and prints the path of that
# environment's Python. It is kept for the next run. Fails with one line on standard error.
#   HEARTH_TEST_CACHE  folder to keep it in (~/.cache/hearth-tests)
set -euo pipefail

version=1.15.4
# The library that the bridge is built on, and that of the IRC server.
packages=("heisenbridge==$version" mautrix==0.20.8 irc==20.3.1)
folder=${HEARTH_TEST_CACHE:-$HOME/.cache/hearth-tests}/heisenbridge-$version
python=$folder/bin/python

# The environment breaks when the Python it was made of goes away.
installed() {
  [[ -f $folder/installed ]] && "$python" -c 'import heisenbridge, irc.server' 2>/dev/null
}

if ! installed; then
  command -v python3 >/dev/null || { echo 'there is no python3' >&2; exit 1; }
  mkdir -p "$(dirname "$folder")"
  # Two runs at a time must not install into the same folder.
  exec 9>"$folder.lock"
  flock 9
  if ! installed; then
    { python3 -m venv --clear "$folder" && "$python" -m pip install "${packages[@]}"; } \
      >"$folder.log" 2>&1 || { echo "pip failed, see $folder.log" >&2; exit 1; }
    touch "$folder/installed"
  fi
fi
echo "$python"
