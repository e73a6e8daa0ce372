"""GDAS on the paper's space: Gumbel samples of one candidate per layer, learned on held-out images.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search resnest50_imagenet/gdas --set data.root=FOLDER

It differs from spos.py, whose head says where the settings come from, only in the method, whose docstring says where
the defaults of its options come from. Nobody has tried them on ImageNet with this package. A step has two passes
instead of one.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_gdas"

learn = dict(method="gdas")
