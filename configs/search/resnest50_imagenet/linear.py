"""Stage 2: the linear classifier on the supernet that learn.py has left in the same run folder (learned first if not).

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/linear.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "linear"
