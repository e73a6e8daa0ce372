"""A recipe of today for the best network: A2 of "ResNet strikes back" (Wightman et al., 2021, Table 2), 300 epochs.

LAMB, binary cross-entropy, mixup with cutmix. A2 repeats each image three times in an epoch, which this engine does
not do. For A1, add --set schedule.epochs=600 --set optim.weight_decay=0.01 --set loss.smoothing=0.1.

pinas-zoo train pinas_alpha --data imagenet --config imagenet_a2
pinas-zoo train pinas_alpha --data imagenet --config imagenet_a2 --set accumulate=4     # of a process's batch
"""

_base_ = ["_base_/resnest.py"]

name = "imagenet_a2"
batch_size = 2048
data = dict(crop_pct=0.95)
augment = dict(auto_augment="rand-m7-mstd0.5")
mix = dict(mixup_alpha=0.1, cutmix_alpha=1.0)
loss = dict(type="bce", smoothing=0.0, bce_target_thresh=0.2)  # the threshold is timm's for these weights
optim = dict(opt="lamb", lr=5e-3, lr_batch=2048, weight_decay=0.02)
schedule = dict(epochs=300)
