#!/bin/bash
# Keys for a cluster that uses TLS: ./certificates.sh FOLDER
#
# Makes a certificate authority, a certificate with its key for scheduler, workers and client, and `tls.env` with Dask's
# configuration for them. Anyone with dask.key can run code on the cluster: keep the folder private, and put it at the
# same path on all machines.
#
#     source FOLDER/tls.env                                   on all machines
#     dask scheduler --protocol tls
#     dask worker tls://host:8786 --nthreads 2
#     nomad-dask harvest --scheduler tls://host:8786 ...

set -euo pipefail
umask 077

FOLDER=${1:?a folder for the keys}
DAYS=${DAYS:-30}
mkdir -p "$FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)

openssl req -x509 -newkey rsa:3072 -nodes -days "$DAYS" -subj "/CN=authority of a Dask cluster" \
    -keyout "$FOLDER/authority.key" -out "$FOLDER/authority.pem" 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=a Dask cluster" \
    -keyout "$FOLDER/dask.key" -out "$FOLDER/dask.csr" 2>/dev/null
openssl x509 -req -in "$FOLDER/dask.csr" -CA "$FOLDER/authority.pem" -CAkey "$FOLDER/authority.key" -CAcreateserial \
    -days "$DAYS" -out "$FOLDER/dask.pem" 2>/dev/null
rm -f "$FOLDER/dask.csr" "$FOLDER/authority.srl" "$FOLDER/authority.key"

{
    echo "export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true"
    echo "export DASK_DISTRIBUTED__COMM__TLS__CA_FILE='$FOLDER/authority.pem'"
    for role in SCHEDULER WORKER CLIENT; do
        echo "export DASK_DISTRIBUTED__COMM__TLS__${role}__CERT='$FOLDER/dask.pem'"
        echo "export DASK_DISTRIBUTED__COMM__TLS__${role}__KEY='$FOLDER/dask.key'"
    done
} >"$FOLDER/tls.env"
