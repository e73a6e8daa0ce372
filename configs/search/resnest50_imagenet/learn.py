"""Stage 1: train the supernet for 100 epochs.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/learn.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "learn"
