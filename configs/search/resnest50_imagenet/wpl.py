"""WPL on the paper's space: random paths whose shared weights are pulled to where earlier paths need them.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search resnest50_imagenet/wpl --set data.root=FOLDER

It differs from spos.py, whose head says where the settings come from, only in the method, whose docstring says where
the defaults of its options come from. Nobody has tried them on ImageNet with this package.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_wpl"

learn = dict(method="wpl", options=dict(fisher_norm=0.1))  # lr * strength * fisher_norm is 0.6, see the method
