#!/bin/bash
# A SLURM of this machine alone, for the tests of the recipes; as root, with Debian's packages slurm-wlm and munge:
#
#     tests/cluster/one_node_slurm.sh start FOLDER      its settings, state and logs go there
#     SLURM_CONF=FOLDER/slurm.conf pytest tests/cluster/test_recipes.py
#     tests/cluster/one_node_slurm.sh stop FOLDER

set -euo pipefail
FOLDER=$(mkdir -p "$2" && cd "$2" && pwd)
export SLURM_CONF=$FOLDER/slurm.conf
NODE=$(hostname -s)

stop() {
    for name in slurmd slurmctld munged; do
        [ ! -s "$FOLDER/$name.pid" ] || kill "$(cat "$FOLDER/$name.pid")" 2>/dev/null || true
    done
}

if [ "$1" = stop ]; then stop; exit; fi

cat >"$SLURM_CONF" <<SETTINGS
ClusterName=one
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 2048)}' /proc/meminfo)
PartitionName=main Nodes=$NODE Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
SETTINGS
mkdir -p "$FOLDER/state" "$FOLDER/spool"
[ -s "$FOLDER/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$FOLDER/munge.key")
munged --force --key-file="$FOLDER/munge.key" --socket="$FOLDER/munge.socket" --pid-file="$FOLDER/munged.pid" \
    --seed-file="$FOLDER/munge.seed" --log-file="$FOLDER/munged.log" 2>/dev/null
slurmctld
slurmd
for ((tries = 0; tries < 30; tries++)); do
    if sinfo -h 2>/dev/null | grep -q idle; then sinfo; exit; fi
    sleep 1
done
tail -n 20 "$FOLDER"/slurm*.log
stop
exit 1
