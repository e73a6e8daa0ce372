"""NSAS on random paths of the paper's space: eight archived paths constrain each step.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search resnest50_imagenet/nsas --set data.root=FOLDER

It differs from spos.py, whose head says where the settings come from, only in the method, whose docstring says where
the defaults of its options come from. Nobody has tried them on ImageNet with this package. A step has nine passes
instead of one, and their activations are in memory at once.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_nsas"

learn = dict(method="nsas")
