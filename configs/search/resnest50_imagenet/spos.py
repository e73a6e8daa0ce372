"""SPOS on the paper's space (Tables 2, 3 and 7): a supernet learned with labels, one random path a step.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/spos.py --set data.root=FOLDER

Space, images, split and exploration are those of base.py: sec. 4.2 uses the same search procedure for SPOS and FairNAS
as for Π-NAS. There is no linear stage, because the classifier learned with the supernet scores the paths. Add --set
until=learn to stop after the supernet.

Neither the paper nor the released code gives the settings of supervised learning on this space. Epochs (100), momentum
(0.9), weight decay (1e-4) and the cosine schedule are those of Π-NAS in base.py (sec. 4.1). What differs names its
source below; "ours" marks a choice, which has not been tried on ImageNet. Batch norm sees the images of one process: 32
of a step on 8 processes, 256 on one.
"""

_base_ = "base.py"

name = "resnest50_imagenet_spos"

views = dict(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)  # crop and flip, as the linear stage (sec. 4.1)
learn = dict(
    method="spos",
    options=dict(_delete_=True),
    batch_size=256,  # ours: 8 x 32, the batch of the linear stage (sec. 4.1)
    lr=0.1,  # ours: the rate for 256 images with which ResNet was published (He et al., CVPR 2016)
)
