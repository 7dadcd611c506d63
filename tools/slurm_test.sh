#!/usr/bin/env bash
# Test under slurm.
#   tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [ARGUMENTS OF tools/test.py …]
# Environment (GPUS, GPUS_PER_NODE, NTASKS, NNODES, CPUS_PER_TASK, SRUN_ARGS, PORT): see slurm_launch.sh.
set -euo pipefail

if [ "$#" -lt 4 ]; then
    echo "usage: $0 PARTITION JOB CONFIG CHECKPOINT [ARGUMENTS OF tools/test.py …]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
checkpoint=$4
shift 4
here=$(dirname "$0")

exec "$here/slurm_launch.sh" "$partition" "$job" "$here/test.py" "$config" "$checkpoint" "$@"
