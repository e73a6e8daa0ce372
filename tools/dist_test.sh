#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]; NNODES, NODE_RANK, MASTER_ADDR and PORT as for
# training.
set -euo pipefail
HERE=$(dirname "$0")
if [ $# -lt 3 ]; then echo "expected CONFIG, CHECKPOINT and GPUS, got: $*" >&2; exit 2; fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
# a checkout need not be installed; in an installed package this would put its modules (data, models, …) on the path
if [ -f "$HERE/../pyproject.toml" ]; then export PYTHONPATH="$HERE/..:${PYTHONPATH:-}"; fi
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
