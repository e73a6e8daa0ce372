"""The demo: the paper's three stages on scikit-learn's 1,797 scanned digits, in minutes on two cores.

pinas-zoo search digits
"""

name = "digits"
seed = 0

# four candidates in each of 6 layers: 4,096 architectures; the paper's space is depths (3, 4, 6, 3), widths from 64
space = dict(type="resnest50", depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)

data = dict(type="digits", image_size=32, val_per_class=30)

# no mirroring and no colours: a mirrored 2 is no digit, and scans are grey
views = dict(scale=(0.5, 1.0), flip=0.0, jitter=(0.4, 0.4, 0.0, 0.0), gray_p=0.0, blur_p=0.3, blur_sigma=(0.1, 1.0))

learn = dict(
    method="pinas",
    options=dict(queue_size=1024, temperature=0.1, momentum=0.999, dim=64, warm_queue=True),
    steps=300,
    batch_size=64,
    lr=0.03,
    checkpoint_every=50,
)
linear = dict(
    steps=300,
    batch_size=128,
    lr=1.0,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=100,
)
explore = dict(evaluations=100, recalibration_images=512)
train = dict(
    epochs=15,
    batch_size=64,
    lr=0.05,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=50,
)
