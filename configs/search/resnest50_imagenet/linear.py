"""Stage 2: train the linear classifier on the supernet of learn.py, in the same run folder (learned first if missing).

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/linear.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "linear"
