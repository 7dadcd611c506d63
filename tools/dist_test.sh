#!/usr/bin/env bash
# Test on the GPUS of one or several machines.
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF tools/test.py …]
# Environment for several machines: see dist_launch.sh.
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [ARGUMENTS OF tools/test.py …]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3
here=$(dirname "$0")

exec "$here/dist_launch.sh" "$gpus" "$here/test.py" "$config" "$checkpoint" "$@"
