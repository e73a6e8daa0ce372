"""CIFAR-10 at a size that two cores train: the small networks of configs/search/digits.py, 32 x 32 pixels.

pinas-zoo train 111111 --config cifar10 --data data/cifar10
"""

name = "cifar10"
model = "111111"  # ResNeSt's blocks
model_args = dict(depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)
data = dict(name="torch/cifar10", root="data/cifar10", image_size=32, crop_pct=1.0)
augment = dict(scale=(0.4, 1.0), color_jitter=0.2, interpolation="bilinear")
loss = dict(smoothing=0.1)
optim = dict(opt="sgd", lr=0.1, lr_batch=256, weight_decay=5e-4)
schedule = dict(epochs=30, warmup_epochs=2)
batch_size = 128
keep = "last"
