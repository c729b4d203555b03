#!/bin/bash
# Runs Complement, the conformance suite, against this server. Behind `npm run test:complement`; further arguments go to
# the runner, for example: npm run test:complement -- --packages csapi --run '^TestLogin$'
#   COMPLEMENT_TESTS   folder of the compiled test packages (~/.cache/complement-tests)
#   COMPLEMENT_RUNNER  the `run` of complement-local (../shared/complement/run)
# Where one of them is missing, nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests=${COMPLEMENT_TESTS:-$HOME/.cache/complement-tests}
runner=${COMPLEMENT_RUNNER:-../shared/complement/run}
passing=test/conformance/complement-passing.txt

skip() {
  echo "Complement skipped: $1"
  exit 0
}
[[ -x $runner ]] || skip "no runner at $runner (COMPLEMENT_RUNNER)"
compgen -G "$tests/*.test" >/dev/null || skip "no compiled tests in $tests (COMPLEMENT_TESTS)"
command -v go >/dev/null || skip 'the runner needs Go'
[[ $(id -u) == 0 ]] || skip 'the runner needs root'

# Many servers start during a run: the Worker is bundled once, before it.
bundle=$(mktemp --suffix .json)
trap 'rm -f "$bundle"' EXIT
node_modules/.bin/node scripts/bundle.ts "$bundle"

HEARTH_BUNDLE=$bundle "$runner" --tests "$tests" --start "$PWD/scripts/complement-start" \
  --out complement-out --expect "$passing" "$@"
