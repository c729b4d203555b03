#!/bin/bash
# A client built on the crates matrix-sdk and matrix-sdk-ui, against the server that `npm start` starts. Behind
# `npm run test:rust-client`.
#   RUST_LOG  what the crates log, shown when the test fails (info)
# Where there is no cargo, or one too old for the crates, nothing is tested, and that is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/node_modules/.bin:$PATH

# What the crates ask for.
needed=1.93
if ! version=$(rustc --version 2>/dev/null) || ! command -v cargo >/dev/null; then
  echo 'matrix-sdk skipped: there is no cargo'
  exit 0
fi
read -r _ version _ <<<"$version"
if [[ $(printf '%s\n' "$needed" "$version" | sort -V | head -n 1) != "$needed" ]]; then
  echo "matrix-sdk skipped: Rust is $version, and $needed is needed"
  exit 0
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/hearth-tests/rust-client
mkdir -p "$cache/crate"
# Built from a copy, so that the lock file stays beside what was built with it.
cp test/clients/rust/Cargo.toml "$cache/crate"
if ! diff -rq test/clients/rust/src "$cache/crate/src" >/dev/null 2>&1; then
  rm -rf "$cache/crate/src"
  cp -R test/clients/rust/src "$cache/crate"
fi
started=$SECONDS
CARGO_TARGET_DIR=$cache nice cargo build --quiet --manifest-path "$cache/crate/Cargo.toml"
echo "matrix-sdk: built in $((SECONDS - started)) s"

HEARTH_RUST_CLIENT=$cache/debug/hearth-rust-client \
  node --test --test-reporter=spec test/clients/rust/rust-sdk.test.ts
