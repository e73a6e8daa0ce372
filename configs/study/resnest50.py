"""Tables 2 and 3 of the paper at a size that two cores do: six methods on 13 networks of the small ResNeSt space.

    pinas-zoo study resnest50 --data data/cifar10 --set methods.dna.learn.options.teacher=local-dir:TEACHER

It is configs/study/cifar10.py with DNA, FBNetV2 and TuNAS beside Π-NAS, SPOS and FairNAS. Each supernet gets about the
same time on one core, and the best network of each method is trained as well (Table 2's lower half). TEACHER is a model
folder with maps of strides 4 to 32, such as the network of `pinas-zoo train --config cifar10`; without it DNA downloads
timm's ResNet-18. Learning and training take about an hour of one core (0.15, 0.54 and 0.20 s a step of DNA, FBNetV2 and
TuNAS on an AMD EPYC with AVX-512), scoring comes on top; several processes share the work (docs/study.md).
"""

_base_ = "cifar10.py"

name = "study_resnest50"

labels_views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
methods = dict(
    dna=dict(learn=dict(method="dna", options=dict(teacher="resnet18"), steps=1800), views=labels_views),
    fbnetv2=dict(learn=dict(method="fbnetv2", steps=500, lr=0.1, weight_decay=5e-4), views=labels_views),
    tunas=dict(
        learn=dict(method="tunas", options=dict(arch_lr=0.0003), steps=1350, lr=0.1, weight_decay=5e-4),
        views=labels_views,
    ),
)
del labels_views
