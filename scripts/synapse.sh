#!/bin/bash
# Federation with Synapse: both servers as processes on this machine, talking over TLS. Behind `npm run test:synapse`; further
# arguments go to vitest, for example: npm run test:synapse -- -t redaction
#   KEEP_LOGS  set to keep what the servers wrote, and to be told where
# Where Synapse cannot be installed (see install-synapse.sh), nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/node_modules/.bin:$PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! SYNAPSE_PYTHON=$(bash scripts/install-synapse.sh 2>"$work/reason"); then
  echo "Synapse skipped: $(tail -n 1 "$work/reason")"
  exit 0
fi
export SYNAPSE_PYTHON

# Our server starts several times: it is bundled once, before.
export HEARTH_BUNDLE=$work/bundle.json
node scripts/bundle.ts "$HEARTH_BUNDLE"

vitest run --config test/federation/synapse/vitest.config.ts "$@"
