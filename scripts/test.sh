#!/bin/bash
# Everything that must be green, behind `npm test`. Goes on after a failure; the last line counts checks and tests.
# Arguments go to vitest, to run a part of the tests: npm test -- test/media
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/node_modules/.bin:$PATH WRANGLER_SEND_METRICS=false FORCE_COLOR=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where the contract test notes which endpoints it has seen.
export CONTRACT_DIR=$work/contract
mkdir "$CONTRACT_DIR"
passed=0
failed=0
broken=()

count() { # NAME PASSED FAILED
  passed=$((passed + $2))
  failed=$((failed + $3))
  (($3 == 0)) || broken+=("$1")
}

# Runs a command that says nothing of interest unless it fails.
check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok      $name"
    count "$name" 1 0
  else
    echo "FAILED  $name"
    cat "$work/output"
    count "$name" 0 1
  fi
}

# A run that ends badly, or tests nothing, has failed even where no test did.
settle() { # NAME STATUS PASSED FAILED
  if (($2 != 0 && $4 == 0 || $3 + $4 == 0)); then count "$1" "$3" 1; else count "$1" "$3" "$4"; fi
}

deployable() {
  rm -rf dist
  wrangler deploy --dry-run --outdir dist && node scripts/bundle-size.ts
}

check types tsc --noEmit
check lint oxlint --type-aware --deny-warnings
check format oxfmt --check
check unused knip --no-progress
check deploy deployable

echo 'tests'
vitest run --reporter=default --reporter=json --outputFile.json="$work/vitest.json" "$@"
status=$?
read -r ok bad < <(node scripts/count-tests.ts "$work/vitest.json")
settle tests "$status" "${ok:-0}" "${bad:-0}"

# matrix-js-sdk leaves timers running that would hold the process for minutes.
clients() {
  node --test --test-force-exit --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$work/clients.tap" 'test/clients/*.test.ts'
}

echo 'real clients'
clients
status=$?
# Their chapters cannot be tried again one by one, as vitest does with its tests there.
if ((status != 0)) && [[ -n ${CI:-} ]]; then
  echo 'real clients, attempt 2'
  clients
  status=$?
fi
read -r ok bad < <(awk '/^# pass /{ ok = $3 } /^# (fail|cancelled) /{ bad += $3 } END { print ok + 0, bad + 0 }' "$work/clients.tap")
settle 'real clients' "$status" "${ok:-0}" "${bad:-0}"

# Only a whole run can have used every endpoint.
if (($# == 0)); then
  echo 'contract'
  if node test/contract/exercised.ts "$CONTRACT_DIR"; then count contract 1 0; else count contract 0 1; fi
fi

((failed == 0)) || printf 'failed: %s\n' "${broken[@]}"
echo "$passed passed, $failed failed"
((failed == 0))
