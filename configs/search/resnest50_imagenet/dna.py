"""DNA on the paper's space (Tables 2 and 3): every stage imitates one of a pretrained teacher, without labels.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/dna.py --set data.root=FOLDER

The first run downloads timm's weights of the teacher, EfficientNet-B7 as in DNA's paper. Traversal is the paper's, too.
Adam's rate, its decay and 20 epochs a stage are our choice, as is what "ours" marks. Nobody has tried them on ImageNet.
Limits on the cost, such as --set explore.max_flops_g=5.4, restrict the traversal.
"""

_base_ = "base.py"

name = "resnest50_imagenet_dna"

views = dict(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)  # crop and flip
learn = dict(
    method="dna",
    options=dict(_delete_=True),
    epochs=80,  # 20 for each of four stages
    batch_size=256,
)
explore = dict(
    sampler="traversal",
    evaluations=1000,  # the best ones are listed
    statistics="batch",  # ours
    held_out_images=5000,  # ours: 4,480 paths within stages are measured on them
)
