#!/usr/bin/env bash
# Run a script under srun, one task per GPU; used by slurm_train.sh and slurm_test.sh.
#   tools/slurm_launch.sh PARTITION JOB SCRIPT [ARGUMENTS …]
# Environment:
#   GPUS           of all machines together (8); 0 asks for none
#   GPUS_PER_NODE  8, or GPUS if that is less
#   NTASKS         processes of a run without GPUs (1)
#   CPUS_PER_TASK  5
#   SRUN_ARGS      more options of srun, e.g. "--nodelist=n7 --time=2-0"
#   PORT           of the first process; without it, worked out from the job's number
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: $0 PARTITION JOB SCRIPT [ARGUMENTS …]" >&2
    exit 2
fi
partition=$1
job=$2
shift 2

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
if [ "$gpus" -eq 0 ]; then
    resources=(--ntasks="${NTASKS:-1}")
elif [ "$gpus_per_node" -lt 1 ] || [ $((gpus % gpus_per_node)) -ne 0 ]; then
    echo "GPUS=$gpus is no multiple of GPUS_PER_NODE=$gpus_per_node" >&2
    exit 2
else
    resources=(
        --gres="gpu:$gpus_per_node"
        --ntasks="$gpus"
        --ntasks-per-node="$gpus_per_node"
    )
fi
if ! command -v srun >/dev/null; then
    echo "no srun here; call this on a login machine of the cluster" >&2
    exit 2
fi
read -r -a more <<<"${SRUN_ARGS:-}"

# The job's number is known only to the tasks. They all work out the same port from it, and two
# jobs, or two steps of one job, that share a machine get different ones.
# shellcheck disable=SC2016
with_port='export MASTER_PORT=${PORT:-$((12000 + (SLURM_JOB_ID + 997 * ${SLURM_STEP_ID:-0}) % 20000))}
# A checkout is used as it stands, installed or not.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

exec "$@"'

exec srun \
    --partition="$partition" \
    --job-name="$job" \
    "${resources[@]}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    "${more[@]}" \
    bash -c "$with_port" bash python -u "$@" --launcher slurm
