#!/bin/bash
# The server's pages in a real browser. Behind `npm run test:browser`; further arguments go to vitest, for example:
# npm run test:browser -- -t keyboard
#   CHROMIUM     the browser to take (the command `chromium`)
#   SCREENSHOTS  folder for pictures of the pages
# In CI a missing Chromium is installed, where this is Debian and root. Elsewhere nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/node_modules/.bin:$PATH

install() {
  apt-get update && apt-get install -y --no-install-recommends chromium
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! CHROMIUM=$(command -v "${CHROMIUM:-chromium}"); then
  if [[ -z ${CI:-} ]] || ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo 'Browser skipped: there is no chromium; name one with CHROMIUM'
    exit 0
  fi
  if ! install >"$work/install" 2>&1; then
    tail -n 5 "$work/install"
    echo 'Browser skipped: chromium cannot be installed, see above'
    exit 0
  fi
  CHROMIUM=$(command -v chromium)
fi
export CHROMIUM

vitest run --config test/browser/vitest.config.ts "$@"
