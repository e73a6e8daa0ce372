"""The paper's stages on CIFAR-10, with a depth and width for a desktop.

    pinas-zoo search configs/search/cifar10.py                                   # torchvision's copy under data/cifar10
    pinas-zoo search configs/search/cifar10.py --set data.name= --set data.root=FOLDER    # FOLDER/train/CLASS/*.png, …

torchvision fetches its copy once:

    python -c "from torchvision.datasets import CIFAR10; CIFAR10('data/cifar10', download=True)"
"""

name = "cifar10"
seed = 0

space = dict(type="resnest50", depths=(2, 2, 3, 2), widths=(32, 64, 128, 256), stem_width=16)

data = dict(
    type="timm",
    name="torch/cifar10",
    root="data/cifar10",
    train_split="train",
    test_split="validation",
    image_size=32,
    val_per_class=500,
)
views = dict(scale=(0.2, 1.0), blur_p=0.0)  # a blur would remove most of what 32 pixels show

learn = dict(
    method="pinas",
    options=dict(queue_size=16384, temperature=0.1, momentum=0.999),
    steps=40_000,
    batch_size=256,
    lr=0.03,
    log_every=50,
)
linear = dict(steps=8_000, batch_size=256, lr=3.0, log_every=50)
explore = dict(evaluations=1000, random_first=80, batch_size=500, recalibration_images=4096)
train = dict(epochs=30, batch_size=128, lr=0.05, log_every=50)
