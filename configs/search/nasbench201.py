"""Π-NAS on NAS-Bench-201 and CIFAR-10, with the three operations that compute: 729 networks with known accuracies.

pinas-zoo search nasbench201    # torchvision's copy under data/cifar10: see cifar10.py
"""

name = "nasbench201"
seed = 0

space = dict(
    type="nasbench201",
    operations=("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),  # 729 of the benchmark's 15,625
    channels=16,
    cells=1,
)

data = dict(
    type="timm",
    name="torch/cifar10",
    root="data/cifar10",
    train_split="train",
    test_split="validation",
    image_size=16,  # with one cell a stage: a proxy that two cores can learn in an hour
    val_per_class=500,
)
views = dict(scale=(0.3, 1.0), blur_p=0.0)

# the regime of configs/evidence/nasbench201.py
learn = dict(
    method="pinas",
    options=dict(hidden=128, head_norm=True, queue_size=1024, temperature=0.1, momentum=0.99, warm_queue=True),
    steps=20_000,
    batch_size=128,
    lr=0.12,
    warmup=0.1,
    log_every=50,
)
explore = dict(score="consistency", rank_by="effects", evaluations=729, batch_size=500, recalibration_images=2048)
train = dict(epochs=12, batch_size=128, lr=0.1, log_every=50)
