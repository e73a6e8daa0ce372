"""FairNAS on the paper's space (Tables 2 and 3): a supernet learned with labels, every candidate equally often.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/fairnas.py --set data.root=FOLDER

It differs from spos.py, whose head says where the settings come from, only in the method. Each path of a round of four
is a step with images and an update of its own, as in the released code. FairNAS's own paper sums the gradients of a
round (--set learn.options.update=round): a step then has four passes instead of one, and so have 100 epochs.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_fairnas"

learn = dict(method="fairnas", options=dict(update="path"))
