"""The demo: the paper's stages in a space of cells, on scikit-learn's 1,797 scanned digits. It takes a few minutes.

OMP_NUM_THREADS=1 pinas-zoo search configs/search/digits_cells.py    # as `make demo` runs it

Architectures differ here more than in digits.py: a cell has one of five operations on each of six edges (NAS-Bench-201,
sec. 4.3). Cells of like cost may have three convolutions in a row, or side by side, or some that are cut off from the
output. Networks are 4 channels wide at first, and images keep the 8 x 8 pixels of the scans.

The comparison at the end trains each network from scratch for 3 epochs only. It tells which architectures learn fast
rather than where they end: six of them that were trained for 30 epochs reached 98.3 to 99.1%. The registered network
trains longer, from its weights in the supernet, and is no part of the comparison.
"""

name = "digits_cells"
seed = 0

# 15,625 architectures, without the benchmark's width and depth: 4, 8 and 16 channels, one cell a stage. Balanced: paths
# with three convolutions in a row are rare among uniform ones
space = dict(type="nasbench201", channels=4, cells=1, training_paths="balanced")

data = dict(type="digits", image_size=8, val_per_class=70)

# no flip, because mirrored digits are not digits; no colour, because the scans are grey
views = dict(scale=(0.4, 1.0), flip=0.0, jitter=(0.4, 0.4, 0.0, 0.0), gray_p=0.0, blur_p=0.0)

# batch norm in the head and torch's initialisation, since narrow networks learn much faster with them
learn = dict(
    method="pinas",
    options=dict(
        hidden=128,
        head_norm=True,
        head_init="torch",
        dim=64,
        queue_size=512,
        temperature=0.1,
        momentum=0.99,
        warm_queue=True,
    ),
    steps=1000,
    batch_size=64,
    lr=0.1,
    warmup=0.1,
    checkpoint_every=250,
)
linear = dict(
    steps=800,
    batch_size=128,
    lr=0.5,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=400,
)
explore = dict(evaluations=200, recalibration_images=512)
train = dict(
    epochs=20,
    batch_size=32,
    lr=0.1,
    views=dict(scale=(0.7, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    checkpoint_every=500,
    channels_last=True,  # faster here, also in fp32
    # the winner, ResNet's cell and 16 random networks of like cost, from scratch with each of 3 seeds
    compare=dict(reference="auto", random=16, seeds=3, epochs=3),
)
