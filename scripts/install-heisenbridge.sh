#!/bin/bash
# Installs heisenbridge, a bridge to IRC, and an IRC server, and prints the path of their Python: see python-environment.sh.
set -euo pipefail

version=1.15.4
# The library that the bridge is built on, and that of the IRC server.
exec bash "$(dirname "${BASH_SOURCE[0]}")/python-environment.sh" "heisenbridge-$version" 'heisenbridge, irc.server' \
  "heisenbridge==$version" mautrix==0.20.8 irc==20.3.1
