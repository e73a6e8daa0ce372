"""GDAS-NSAS on the paper's space: NSAS on the paths that GDAS samples.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search resnest50_imagenet/gdas_nsas --set data.root=FOLDER

It differs from spos.py, whose head says where the settings come from, only in the method, whose docstring says where
the defaults of its options come from. Nobody has tried them on ImageNet with this package. A step has ten passes
instead of one, and the activations of nine are in memory at once.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_gdas_nsas"

learn = dict(method="gdas_nsas")
