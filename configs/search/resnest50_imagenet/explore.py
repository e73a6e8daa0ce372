"""Stage 3 to the end: 1,000 architectures scored, the best one cut out; goes on from linear.py's run folder.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/explore.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "train"
