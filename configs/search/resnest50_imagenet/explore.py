"""Stage 3 to the end: score 1,000 architectures and cut out the best one, in linear.py's run folder.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/explore.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "train"
