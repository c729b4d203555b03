#!/bin/bash
# Installs packages into a Python environment of their own, and prints the path of that environment's Python. It is kept for the
# next run. Fails with one line on standard error. Behind install-synapse.sh and install-heisenbridge.sh.
#   python-environment.sh NAME MODULES ARGUMENT...
# NAME is that of its folder, MODULES what it must be able to import, with commas between them; pip gets the arguments.
#   HEARTH_TEST_CACHE  folder to keep it in (~/.cache/hearth-tests)
set -euo pipefail

modules=$2
folder=${HEARTH_TEST_CACHE:-$HOME/.cache/hearth-tests}/$1
python=$folder/bin/python
shift 2

# The environment breaks when the Python it was made of goes away.
installed() {
  [[ -f $folder/installed ]] && "$python" -c "import $modules" 2>/dev/null
}

if ! installed; then
  command -v python3 >/dev/null || { echo 'there is no python3' >&2; exit 1; }
  mkdir -p "$(dirname "$folder")"
  # Two runs at a time must not install into the same folder.
  exec 9>"$folder.lock"
  flock 9
  if ! installed; then
    { python3 -m venv --clear "$folder" && "$python" -m pip install "$@"; } \
      >"$folder.log" 2>&1 || { echo "pip failed, see $folder.log" >&2; exit 1; }
    touch "$folder/installed"
  fi
fi
echo "$python"
