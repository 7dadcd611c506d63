#!/usr/bin/env bash
# Run a script under slurm, one task per GPU; used by slurm_train.sh and slurm_test.sh.
#   tools/slurm_launch.sh PARTITION JOB SCRIPT [ARGUMENTS …]
# Environment:
#   GPUS           of all machines together (8); 0 asks for none
#   GPUS_PER_NODE  8, or GPUS if that is less
#   NTASKS         processes of a run without GPUs (1)
#   NNODES         machines to spread them over (slurm's choice)
#   CPUS_PER_TASK  5
#   SRUN_ARGS      more options, e.g. "--nodelist=n7 --time=2-0"
#   PORT           of the first process; without it, worked out from the job's number
#   REQUEUE        1 submits a batch job that is queued again, and resumes, when it is preempted or
#                  reaches its time limit; prints the job's number and returns
#   STOP_BEFORE    seconds before the end of its time at which such a job saves and stops (120)
#   LOG            what such a job writes to (slurm-%j.out)
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
    resources=(--ntasks="${NTASKS:-1}" ${NNODES:+--nodes="$NNODES"})
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
resources+=(--cpus-per-task="${CPUS_PER_TASK:-5}")
tool=srun
if [ "${REQUEUE:-0}" != 0 ]; then
    tool=sbatch
fi
if ! command -v "$tool" >/dev/null; then
    echo "no $tool here; call this on a login machine of the cluster" >&2
    exit 2
fi
read -r -a more <<<"${SRUN_ARGS:-}"

# A checkout is used whether it is installed or not.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

# The job's number is known only to the tasks. They all work out the same port from it, and two
# jobs, two steps of one job, or two attempts at it, that share a machine get different ones. Slurm's
# name of a machine need not be one that the network knows; its address is.
# shellcheck disable=SC2016
with_address='export MASTER_PORT=${PORT:-$((12000 + (SLURM_JOB_ID + 997 * ${SLURM_STEP_ID:-0} \
    + 7919 * ${SLURM_RESTART_COUNT:-0}) % 20000))}
if [ -z "${MASTER_ADDR:-}" ]; then
    first=$(scontrol show hostnames "$SLURM_NODELIST" | head -n 1)
    getent hosts "$first" >/dev/null ||
        first=$(scontrol show node "$first" | sed -n "s/.*NodeAddr=\([^ ]*\).*/\1/p")
    export MASTER_ADDR=$first
fi
exec "$@"'
task=(--kill-on-bad-exit=1 bash -c "$with_address" bash python -u "$@" --launcher slurm)

if [ "$tool" = srun ]; then
    exec srun --partition="$partition" --job-name="$job" "${resources[@]}" "${more[@]}" "${task[@]}"
fi

# When the job is preempted or near its time limit, the tasks get a signal, save, and exit with 75, or
# the signal ends them if they are still starting. Slurm may count the job as done then, so it is
# requeued explicitly. A canceled or failed job is not queued again.
script="#!/usr/bin/env bash
trap : TERM USR1
srun$(printf ' %q' "${resources[@]}" "${task[@]}") &
# A signal ends wait, and not the process.
while :; do
    status=0
    wait \$! || status=\$?
    kill -0 \$! 2>/dev/null || break
done
job=\$(scontrol show job --oneliner \"\$SLURM_JOB_ID\")
case \" \$job \" in
*' PreemptTime=2'*) stopped=preempted ;;
*) stopped=stopped ;;
esac
if [ \"\$status\" = 75 ] || { [ \"\$status\" != 0 ] && [ \$stopped = preempted ]; }; then
    case \" \$job \" in
    *' JobState=RUNNING '*)
        echo \"job \$SLURM_JOB_ID was \$stopped (status \$status) and is queued again\"
        scontrol requeue \"\$SLURM_JOB_ID\"
        sleep 60 # slurm ends this attempt
        ;;
    esac
fi
exit \"\$status\"
"
exec sbatch --parsable --requeue --signal="USR1@${STOP_BEFORE:-120}" --open-mode=append \
    --output="${LOG:-slurm-%j.out}" --partition="$partition" --job-name="$job" \
    "${resources[@]}" "${more[@]}" <<<"$script"
