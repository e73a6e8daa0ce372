"""Stage 3: score 1,000 architectures and extract the best one. It resumes the run folder of linear.py.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/explore.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "train"
