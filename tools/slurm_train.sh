#!/usr/bin/env bash
# Train under slurm.
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [ARGUMENTS OF tools/train.py …]
# Environment (GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS, PORT): see slurm_launch.sh.
set -euo pipefail

if [ "$#" -lt 4 ]; then
    echo "usage: $0 PARTITION JOB CONFIG WORK_DIR [ARGUMENTS OF tools/train.py …]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
work_dir=$4
shift 4
here=$(dirname "$0")

exec "$here/slurm_launch.sh" "$partition" "$job" "$here/train.py" "$config" --work-dir "$work_dir" "$@"
