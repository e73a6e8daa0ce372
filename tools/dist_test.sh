#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]; NNODES, NODE_RANK, MASTER_ADDR and PORT as for
# training.
set -euo pipefail
if [ $# -lt 3 ]; then echo "expected CONFIG, CHECKPOINT and GPUS, got: $*" >&2; exit 2; fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
