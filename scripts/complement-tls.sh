#!/bin/bash
# Makes the certificate of one homeserver of a Complement run, by the suite's authority: /data/tls/key.pem and certificate.pem.
# SERVER_NAME is given. What is there already stays.
set -euo pipefail

tls=/data/tls
[[ ! -f $tls/certificate.pem ]] || exit 0
mkdir -p -m 700 "$tls"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
  -CA /complement/ca/ca.crt -CAkey /complement/ca/ca.key \
  -subj "/CN=$SERVER_NAME" -addext "subjectAltName=DNS:$SERVER_NAME" -addext basicConstraints=CA:FALSE \
  -keyout "$tls/key.pem" -out "$tls/new.pem" 2>"$tls/log" || { cat "$tls/log" >&2; exit 1; }
mv "$tls/new.pem" "$tls/certificate.pem"
