#!/bin/bash
# A harvest on machines with ssh access: a scheduler on the first of them, a worker process on each.
#
#     pip install nomad-dask paramiko             on all of them, the same versions
#     HOSTS="node1 node2 node3" OUT=/shared/titania ./ssh.sh
#
# The workers have the environment of a plain `ssh node1 command`: credentials of a bucket must be there, or in
# ~/.aws/credentials. They get the login to NOMAD in memory. Run it again after an interruption: finished
# segments are kept.

set -euo pipefail

titania='{"results.material.elements": ["Ti", "O"]}'
material='{"results": {"material": "*"}}'
HOSTS=${HOSTS:?the machines, such as HOSTS="node1 node2"}
OUT=${OUT:?a folder that all machines see, or an fsspec url}
QUERY=${QUERY:-$titania}
REQUIRED=${REQUIRED:-$material}
MORE=${MORE:-}            # further options of the harvest, such as '--partition-size 5000'
BIN=${BIN:-}              # such as venv/bin/, if nomad-dask is not on the PATH, on all machines
PORT=${PORT:-8786}        # of the scheduler
SSH=${SSH:-}              # further options of dask ssh, such as '--ssh-username ada --ssh-private-key key'

read -r first _ <<<"$HOSTS"
# shellcheck disable=SC2086
"${BIN}dask" ssh --scheduler-port "$PORT" --nworkers 1 --nthreads 2 --local-directory /tmp \
    --remote-python "$(command -v "${BIN}python")" $SSH $HOSTS >dask-ssh.log 2>&1 &
CLUSTER=$!
trap 'kill $CLUSTER 2>/dev/null || true; wait $CLUSTER 2>/dev/null || true' EXIT   # its processes end with their ssh

for ((tries = 0; tries < 60; tries++)); do
    (exec 3<>"/dev/tcp/$first/$PORT") 2>/dev/null && break
    kill -0 $CLUSTER 2>/dev/null || { cat dask-ssh.log; exit 1; }
    sleep 1
done

# shellcheck disable=SC2086
"${BIN}nomad-dask" harvest --scheduler "tcp://$first:$PORT" --out "$OUT" --query "$QUERY" --required "$REQUIRED" $MORE
