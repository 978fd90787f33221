#!/bin/sh
# Makes a certificate authority, a certificate for the hook, one for the engine, and a token, in a directory, and
# credentials.yaml there with what the controller refers to.
#     certificates.sh DIR [HOST]    the hook is also called HOST, an address, besides its Service's name
set -eu
umask 077
mkdir -p "$1"
cd "$1"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=secured-hook-ca \
    -keyout ca.key -out ca.crt
issue() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$2" "$3" > "$1.ext"
    openssl x509 -req -days 365 -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -extfile "$1.ext" -out "$1.crt"
}
issue server "DNS:secured-hook.hooks,IP:${2:-127.0.0.1}" serverAuth
issue client DNS:metacontroller clientAuth
openssl rand -hex 16 > token

indented() {
    sed 's/^/    /' "$1"
}
cat > credentials.yaml <<END
apiVersion: v1
kind: Namespace
metadata:
  name: secured-hook
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: secured-hook-ca
  namespace: secured-hook
data:
  ca.crt: |
$(indented ca.crt)
---
apiVersion: v1
kind: Secret
metadata:
  name: secured-hook-client
  namespace: secured-hook
type: kubernetes.io/tls
stringData:
  tls.crt: |
$(indented client.crt)
  tls.key: |
$(indented client.key)
---
apiVersion: v1
kind: Secret
metadata:
  name: secured-hook-token
  namespace: secured-hook
stringData:
  token: |
$(indented token)
END
