"""The setting of Table 2: AugMix with its Jensen-Shannon term, for ResNet-50, ResNeSt-50 and alpha.

The paper says "an augmentation scheme, named AugMix" and nothing more of this setting. From AugMix's paper (Hendrycks
et al., ICLR 2020): a clean image and two augmented ones, chains of 1 to 3 operations, 3 chains, severity 3, and 12
times the Jensen-Shannon divergence. Schedule and batch are those of the fast setting, which is our choice.

pinas-zoo train pinas_cls --data imagenet --config imagenet_augmix
"""

_base_ = ["_base_/resnest.py"]

name = "imagenet_augmix"
batch_size = 512  # our choice; each image goes through the network three times
augment = dict(auto_augment="augmix-m3-w3", color_jitter=0.0)
mix = dict(mixup_alpha=0.0)  # the Jensen-Shannon term compares views of one image
loss = dict(type="jsd", jsd_weight=12.0)
