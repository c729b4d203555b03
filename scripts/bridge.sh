#!/bin/bash
# A bridge to IRC as an application service: heisenbridge, between the server that `npm start` starts and an IRC server, all as
# processes on this machine. Behind `npm run test:bridge`.
# Where the bridge cannot be installed (see install-heisenbridge.sh), nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/node_modules/.bin:$PATH

reason=$(mktemp)
trap 'rm -f "$reason"' EXIT

if ! BRIDGE_PYTHON=$(bash scripts/install-heisenbridge.sh 2>"$reason"); then
  echo "Bridge skipped: $(tail -n 1 "$reason")"
  exit 0
fi
export BRIDGE_PYTHON

node --test --test-force-exit --test-reporter=spec test/bridge/irc.test.ts
