#!/usr/bin/env bash
# Train on the GPUS of one or several machines.
#   tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF tools/train.py …]
# Environment for several machines: see dist_launch.sh.
set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [ARGUMENTS OF tools/train.py …]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
here=$(dirname "$0")

exec "$here/dist_launch.sh" "$gpus" "$here/train.py" "$config" "$@"
