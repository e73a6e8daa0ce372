#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]; NNODES, NODE_RANK, MASTER_ADDR and PORT for more machines.
set -euo pipefail
HERE=$(dirname "$0")
if [ $# -lt 2 ]; then echo "expected CONFIG and GPUS, got: $*" >&2; exit 2; fi
CONFIG=$1 GPUS=$2
# a checkout need not be installed; in an installed package this would put its modules (data, models, …) on the path
if [ -f "$HERE/../pyproject.toml" ]; then export PYTHONPATH="$HERE/..:${PYTHONPATH:-}"; fi
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$HERE/train.py" "$CONFIG" --launcher pytorch "${@:3}"
