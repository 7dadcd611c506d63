#!/usr/bin/env bash
# Train under slurm.
#   tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [ARGUMENTS OF tools/train.py …]
# With REQUEUE=1 the run resumes by itself from its newest checkpoint in WORK_DIR, however often it is
# preempted or reaches its time limit. Environment (GPUS, GPUS_PER_NODE, NTASKS, NNODES, CPUS_PER_TASK,
# SRUN_ARGS, PORT, REQUEUE, STOP_BEFORE, LOG): see slurm_launch.sh.
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

if [ "${REQUEUE:-0}" != 0 ]; then
    for argument in "$@"; do
        case $argument in
        --resume*)
            echo "REQUEUE=1 resumes from the newest checkpoint in $work_dir: leave $argument out" >&2
            exit 2
            ;;
        esac
    done
    mkdir -p "$work_dir"
    export LOG=${LOG:-$work_dir/slurm-%j.out}
    set -- "$@" --resume
fi

exec "$here/slurm_launch.sh" "$partition" "$job" "$here/train.py" "$config" --work-dir "$work_dir" "$@"
