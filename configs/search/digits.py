"""The paper's stages in a small version of its space, on scikit-learn's 1,797 scanned digits, in a few minutes.

pinas-zoo search configs/search/digits.py

Digits are easy: networks of this space that are trained to the end all reach 98 to 99%. So that architectures differ,
candidates are scored on 700 held-out digits with a classifier that has seen 747, and the comparison at the end trains
each network for 3 epochs only. It tells how fast networks learn rather than where they end, and with 2 seeds and 350
test digits only differences of about a point can be told. The registered network trains longer, from its weights in the
supernet, and is no part of the comparison. Architectures differ more in digits_cells.py, which `make demo` runs.
"""

name = "digits"
seed = 0

# 4 candidates in each of 6 layers: 4,096 architectures. The paper's space has depths (3, 4, 6, 3) and widths from 64
space = dict(type="resnest50", depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)

data = dict(type="digits", image_size=32, val_per_class=70)

# no flip, because mirrored digits are not digits; no colour, because the scans are grey
views = dict(scale=(0.5, 1.0), flip=0.0, jitter=(0.4, 0.4, 0.0, 0.0), gray_p=0.0, blur_p=0.3, blur_sigma=(0.1, 1.0))

learn = dict(
    method="pinas",
    options=dict(queue_size=512, temperature=0.1, momentum=0.999, dim=64, warm_queue=True),
    steps=200,
    batch_size=64,
    lr=0.03,
    checkpoint_every=50,
)
linear = dict(
    steps=200,
    batch_size=128,
    lr=1.0,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=100,
)
explore = dict(evaluations=100, recalibration_images=512)
train = dict(
    epochs=8,
    batch_size=32,
    lr=0.05,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=50,
    channels_last=True,  # faster here, also in fp32
    # the winner, ResNeSt's blocks and 3 random networks of like cost, from scratch with each of 2 seeds
    compare=dict(reference="auto", random=3, seeds=2, epochs=3),
)
