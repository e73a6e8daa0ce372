"""A study that ends within minutes: it shows the command, and its figures say little.

pinas-zoo study digits
"""

name = "study_digits"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
count = 6
seeds = (0, 1)

search = dict(
    data=dict(type="digits", image_size=32, val_per_class=30),
    views=dict(scale=(0.5, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    learn=dict(batch_size=64),
    linear=dict(steps=60, batch_size=128, lr=1.0, views=dict(flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0)),
    explore=dict(evaluations=8, recalibration_images=128),
)
methods = dict(
    pinas=dict(learn=dict(method="pinas", options=dict(queue_size=256, temperature=0.1, dim=32), steps=60)),
    spos=dict(learn=dict(method="spos", steps=120, lr=0.05)),
)
recipe = dict(
    data=dict(type="digits", image_size=32, crop_pct=1.0),
    augment=dict(scale=(0.7, 1.0), hflip=0.0, color_jitter=0.0, interpolation="bilinear"),
    schedule=dict(epochs=4, warmup_epochs=1),
    batch_size=64,
    keep="last",
    eval_every=4,
)
