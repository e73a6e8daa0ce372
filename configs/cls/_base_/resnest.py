"""ResNeSt's recipe on ImageNet, which the paper follows (sec. 4.2): every number with its source.

[E]     documentation of PyTorch-Encoding, model_zoo/imagenet.rst, which the paper names
[R]     ResNeSt's paper (Zhang et al., 2020), sec. 5.1
[ours]  neither says it
"""

data = dict(
    root="data/imagenet",
    image_size=224,  # [E]
    crop_pct=0.875,  # [ours] the authors' verification crops the central 7/8; [E] tests at 256 for 224
    interpolation="bicubic",  # the authors' verification script
    workers=8,  # [ours] of each process
)
augment = dict(
    scale=(0.08, 1.0),  # [ours] usual for ImageNet
    ratio=(0.75, 4 / 3),  # [ours] usual for ImageNet
    hflip=0.5,  # [R] mirroring; the probability is [ours]
    auto_augment="rand-m9-n2-mstd0.5",  # [E] RandAugment; magnitude and number are [ours], in timm's words
    color_jitter=0.4,  # [R] colour jitter; timm leaves it out where it augments by RandAugment
)
mix = dict(mixup_alpha=0.2)  # [E]
loss = dict(type="ce", smoothing=0.1)  # [E]
optim = dict(
    opt="sgd",
    lr=0.025,  # [E] for 64 images on a GPU, and in proportion to the batch
    lr_batch=64,  # [E]
    momentum=0.9,  # [R]
    weight_decay=1e-4,  # [R]
    weight_decay_exclude_1d=True,  # [E] no decay of norms and biases
)
schedule = dict(
    sched="cosine",  # [E]
    epochs=270,  # [E]
    warmup_epochs=5,  # [E]
    warmup_lr=0.0,  # [ours]
    min_lr=0.0,  # [ours]
)
# the scale of each block's last norm starts at 0 [E]: so do timm's and this package's networks
precision = "fp16"  # [ours] of GPUs
channels_last = True  # [ours] faster in half precision
keep = "last"  # [ours] the best of 270 test accuracies would be chosen on the test images
