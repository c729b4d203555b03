#!/bin/bash
# Installs Synapse, the homeserver that the tests of federation meet, and prints the path of its Python: see
# python-environment.sh.
set -euo pipefail

version=1.163.2
# Only built packages: this is no machine to compile Rust on.
exec bash "$(dirname "${BASH_SOURCE[0]}")/python-environment.sh" "synapse-$version" synapse \
  --only-binary matrix-synapse "matrix-synapse==$version"
