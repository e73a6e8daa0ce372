"""Evidence at NAS-Bench-201's own size, for a GPU: 16 channels, five cells a stage, images of 32 x 32.

    pinas-zoo evidence nasbench201_full --images cifar10.npz --truth nb201.csv --steps 4000
    pinas-zoo evidence nasbench201_full --images IMAGES --truth CSV --runs pinas --seeds 0 --minutes 5

Everything else is as in nasbench201.py, whose networks have about a sixteenth of the multiply-adds and fit a CPU.
"""

_base_ = "nasbench201.py"

name = "nb201_full"  # results go to benchmarks/results/nb201_full in a checkout
title = "Ranking on NAS-Bench-201 at the benchmark's own size"
introduction = (
    "Command: `pinas-zoo evidence nasbench201_full --images IMAGES --truth CSV`. Each row is one supernet with the "
    "benchmark's 16 channels and five cells a stage, trained on CIFAR-10 at 32 x 32 pixels. The training regimes are "
    "those that were chosen for small supernets (nb201.md), and so are the weights of sums: nothing was chosen at this "
    "size. The page of the small supernets explains the scores, sums and intervals.",
)
training_free = ("flops", "reachable_flops", "shortest_path", "jacov", "az_expressivity")
initialisations = dict(_delete_=True)  # one: at 32 x 32 pixels jacov ranks as four do at 16 x 16
sums = (
    ("consistency", "jacov", "reachable_flops"),
    ("consistency", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity"),
    ("identification", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity"),
    ("jacov", "reachable_flops"),
    ("jacov", ("reachable_flops", 2), ("shortest_path", 0.5), "az_expressivity"),
)
search = dict(space=dict(cells=5), data=dict(image_size=32))
measured = ("pinas", "spos")
seeds = (0, 1)
minutes = 5  # of learning, per run
threads = 1
