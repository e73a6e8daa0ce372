"""Stage 2: train the linear classifier. It resumes the run folder of learn.py, or runs stage 1 first.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/linear.py --set data.root=FOLDER
"""

_base_ = "base.py"
until = "linear"
