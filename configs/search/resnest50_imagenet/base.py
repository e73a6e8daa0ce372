"""The paper's search on ImageNet (sec. 4.1) with all numbers; learn.py, linear.py, explore.py set the last stage."""

name = "resnest50_imagenet"
seed = 0

space = dict(type="resnest50")  # 4 candidates in each of 3 + 4 + 6 + 3 layers: 4^16 architectures, a shared downsample

data = dict(
    root="data/imagenet",  # train/CLASS/*.JPEG and validation/CLASS/*.JPEG; docs/scale.md has tar files and the Hub
    image_size=224,
    crop_pct=0.875,  # without augmentation: shorter side 256, centre 224
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    val_per_class=50,  # 50,000 training images, held out to score candidates
    workers=8,
)
views = dict(
    scale=(0.2, 1.0),
    ratio=(3 / 4, 4 / 3),
    flip=0.5,
    jitter=(0.4, 0.4, 0.4, 0.4),
    jitter_p=0.8,
    gray_p=0.2,
    blur_p=0.5,
    blur_sigma=(0.1, 2.0),
)

learn = dict(
    method="pinas",
    options=dict(queue_size=49152, temperature=0.2, momentum=0.999, dim=128, batch_norm_images=24),
    epochs=100,
    batch_size=192,  # 8 x 24, on any number of processes that shares it in multiples of 24
    lr=0.03,  # cosine
    momentum=0.9,
    weight_decay=1e-4,
    checkpoint_every=1000,
    log_every=50,
)
linear = dict(
    epochs=100,
    batch_size=256,  # 8 x 32
    batch_norm_images=32,
    lr=30.0,
    momentum=0.9,
    weight_decay=0.0,
    milestones=(0.6, 0.8),  # epochs 60 and 80
    views=dict(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=1000,
    log_every=50,
)
explore = dict(
    evaluations=1000,
    sampler="action_space",
    random_first=80,
    batch=8,  # the tree is rebuilt after so many
    batch_size=1024,  # 8 x 128
    recalibration_images=49 * 1024,
)
train = dict(enabled=False)  # the paper trains the winner from scratch (sec. 4.2); explore.py ends with it as cut
