#!/bin/sh
# Writes types.txt anew from the published Go modules of Kubernetes 1.36.
set -eu
cd "$(dirname "$0")"
kubernetes=$(go mod download -json k8s.io/kubernetes@v1.36.3 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
go run . "$kubernetes" >types.txt
