"""Do supernets rank architectures as training each alone does? CIFAR-10, at a size that two cores do in two hours.

    pinas-zoo study cifar10 --data data/cifar10                # FOLDER/train/CLASS/*.jpg and FOLDER/validation/…

13 of the 4,096 architectures of configs/search/digits.py's small ResNeSt space. Each is trained three times; the
supernets of the methods get about the same time on one core. The result is in benchmarks/results/study_cifar10.md.
"""

name = "study_cifar10"
space = dict(type="resnest50", depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)
count = 13
seeds = (0, 1, 2)
supernet_seeds = (0,)
# the list of configs/search/nasbench201.py, with jacov of one initialisation
sums = (("consistency", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity"),)

# supernets: the regimes of configs/evidence/nasbench201.py, in fewer steps -------------------------------------------

labels_views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)  # labels need less augmentation
search = dict(
    data=dict(root="data/cifar10", image_size=32, val_per_class=200, max_train=22_000),
    learn=dict(batch_size=128, warmup=0.1, log_every=50, checkpoint_every=100),
    linear=dict(steps=600, batch_size=128, lr=1.0, log_every=50, checkpoint_every=100, views=labels_views),
    explore=dict(evaluations=40, recalibration_images=500, batch_size=500),
)
methods = dict(
    pinas=dict(
        learn=dict(
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
            steps=600,  # 0.46 s each on one core of an AMD EPYC
            lr=0.12,
        ),
        views=dict(scale=(0.3, 1.0), blur_p=0.0),
    ),
    spos=dict(learn=dict(method="spos", steps=1700, lr=0.1, weight_decay=5e-4), views=labels_views),  # 0.16 s
    fairnas=dict(learn=dict(method="fairnas", steps=500, lr=0.1, weight_decay=5e-4), views=labels_views),
)
del labels_views

# the training of each architecture alone ------------------------------------------------------------------------------

recipe = dict(
    data=dict(root="data/cifar10", image_size=32, crop_pct=1.0, max_train=10_000, max_test=5_000),
    augment=dict(scale=(0.4, 1.0), color_jitter=0.2, interpolation="bilinear"),
    loss=dict(smoothing=0.1),
    optim=dict(opt="sgd", lr=0.1, lr_batch=256, weight_decay=5e-4),
    schedule=dict(epochs=3, warmup_epochs=1),
    batch_size=64,
    precision="bf16",  # 1.5 times as fast as fp32 on a processor with AVX-512
    channels_last=True,
    eval_every=3,
    keep="last",
)
