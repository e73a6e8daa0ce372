#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]; GPUS (8), GPUS_PER_NODE (8),
# CPUS_PER_TASK (5) and SRUN_ARGS from the environment.
set -euo pipefail
if [ $# -lt 4 ]; then echo "expected PARTITION, JOB_NAME, CONFIG and WORK_DIR, got: $*" >&2; exit 2; fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
# shellcheck disable=SC2086  # SRUN_ARGS is several words
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec srun -p "$PARTITION" --job-name="$JOB_NAME" \
    --gres=gpu:"${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" --ntasks-per-node="${GPUS_PER_NODE:-8}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$CONFIG" --work-dir="$WORK_DIR" --launcher=slurm "${@:5}"
