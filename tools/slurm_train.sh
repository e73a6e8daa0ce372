#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]; GPUS (8), GPUS_PER_NODE (8),
# CPUS_PER_TASK (5) and SRUN_ARGS from the environment.
set -euo pipefail
HERE=$(dirname "$0")
if [ $# -lt 4 ]; then echo "expected PARTITION, JOB_NAME, CONFIG and WORK_DIR, got: $*" >&2; exit 2; fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
# a checkout need not be installed; in an installed package this would put its modules (data, models, …) on the path
if [ -f "$HERE/../pyproject.toml" ]; then export PYTHONPATH="$HERE/..:${PYTHONPATH:-}"; fi
# shellcheck disable=SC2086  # SRUN_ARGS is several words
exec srun -p "$PARTITION" --job-name="$JOB_NAME" \
    --gres=gpu:"${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" --ntasks-per-node="${GPUS_PER_NODE:-8}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$HERE/train.py" "$CONFIG" --work-dir="$WORK_DIR" --launcher=slurm "${@:5}"
