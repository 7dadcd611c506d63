#!/usr/bin/env bash
# Run a script with torchrun, one process per GPU; used by dist_train.sh and dist_test.sh.
#   tools/dist_launch.sh PROCESSES SCRIPT [ARGUMENTS …]
# On one machine the port is free or PORT. On several, NNODES, NODE_RANK (from 0), MASTER_ADDR and
# PORT (29500) have torchrun's meaning.
set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: $0 PROCESSES SCRIPT [ARGUMENTS …]" >&2
    exit 2
fi
processes=$1
shift

case $processes in
'' | *[!0-9]* | 0*)
    echo "the number of GPUS is '$processes'; give the processes on this machine, from 1 up" >&2
    exit 2
    ;;
esac
if ! command -v torchrun >/dev/null; then
    echo "no torchrun here; activate the environment that torch is installed in" >&2
    exit 2
fi

nodes=${NNODES:-1}
if [ "$nodes" = 1 ]; then
    # A port that is free now, so that several runs share a machine.
    port=${PORT:-$(python -c 'import socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    print(probe.getsockname()[1])')}
elif [ -z "${MASTER_ADDR:-}" ] || [ -z "${NODE_RANK:-}" ]; then
    echo "NNODES=$nodes needs MASTER_ADDR (the first machine) and NODE_RANK (from 0)" >&2
    exit 2
else
    port=${PORT:-29500}
fi

# A checkout is used whether it is installed or not.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

exec torchrun \
    --nnodes="$nodes" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="$port" \
    --nproc_per_node="$processes" \
    "$@" --launcher pytorch
