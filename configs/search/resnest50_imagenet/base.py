"""The paper's search on ImageNet (sec. 4.1). learn.py, linear.py and explore.py run it stage by stage."""

name = "resnest50_imagenet"
seed = 0

space = dict(type="resnest50")  # 4 candidates in each of 3 + 4 + 6 + 3 layers: 4^16 architectures; shared downsample

data = dict(
    root="data/imagenet",  # train/CLASS/*.JPEG and validation/CLASS/*.JPEG; docs/scale.md has tar files and the Hub
    image_size=224,
    interpolation="bilinear",  # as held-out images of the released code; it applies to test images, too
    crop_pct=0.875,  # without augmentation: resize the shorter side to 256, crop the central 224 x 224 pixels
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    val_per_class=50,  # 50,000 training images are held out to score candidates
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
    options=dict(queue_size=49152, temperature=0.2, momentum=0.999, dim=128, head_init="kaiming", batch_norm_images=24),
    epochs=100,
    batch_size=192,  # 8 x 24; each process needs a multiple of 24 images
    lr=0.03,  # with cosine schedule
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
    batch=8,  # the tree is rebuilt after as many candidates
    batch_size=128,
    recalibration_images=8 * 49 * 128,  # 49 batches of 128 on each of 8 GPUs in the released code
    recalibration_batch_size=128,
    recalibration_views=dict(scale=(0.08, 1.0), flip=0.5, jitter_p=0.0, gray_p=0.0, blur_p=0.0),  # crop and flip
)
train = dict(enabled=False)  # the paper trains the winner from scratch (sec. 4.2), outside of this search
