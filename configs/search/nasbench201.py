"""NAS-Bench-201 on CIFAR-10 by the protocol of sec. 4.3: trained on all five operations, ranked without two of them.

The ranking can be compared with the benchmark's table: pinas-zoo rank work_dirs/nasbench201 --truth CSV

pinas-zoo search configs/search/nasbench201.py    # torchvision's copy under data/cifar10: see cifar10.py
"""

name = "nasbench201"
seed = 0

space = dict(
    type="nasbench201",
    subspace=("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),  # 3^6 = 729 architectures
    channels=16,
    cells=1,
)

data = dict(
    type="timm",
    name="torch/cifar10",
    root="data/cifar10",
    train_split="train",
    test_split="validation",
    image_size=16,  # with one cell per stage, a core learns 4,000 steps in a quarter of an hour
    val_per_class=500,
)
views = dict(scale=(0.3, 1.0), blur_p=0.0)

# the settings of configs/evidence/nasbench201.py
learn = dict(
    method="pinas",
    options=dict(
        hidden=128,
        head_norm=True,
        head_init="torch",
        queue_size=1024,
        temperature=0.1,
        momentum=0.99,
        warm_queue=True,
    ),
    steps=4_000,  # 14,000 rank worse (benchmarks/results/equal_steps.md)
    batch_size=128,
    lr=0.12,
    warmup=0.1,
    log_every=50,
)
linear = dict(steps=1000, lr=0.1, views=dict(scale=(0.5, 1.0)), log_every=50)  # for explore.score="classifier"
explore = dict(
    # what ranks best here (docs/which_score.md); the shortest path matters where skip_connect or none is allowed
    score=["consistency", "jacov", ["reachable_flops", 2], "shortest_path", "az_expressivity"],
    rank_by="smoothed",  # "score" ranks better where skip_connect or none is allowed
    zero_cost_space=dict(cells=5),  # scores without a supernet take networks as deep as the benchmark's
    zero_cost_initialisations=4,  # jacov depends on them most
    evaluations=729,
    held_out_images=1000,  # of 5,000, as in configs/evidence/nasbench201.py
    batch_size=500,
    recalibration_images=2048,
)
train = dict(epochs=12, batch_size=128, lr=0.1, log_every=50)
