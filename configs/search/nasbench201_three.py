"""NAS-Bench-201 with a supernet of three operations alone, a variant of sec. 4.3: what it ranks is all it has trained.

pinas-zoo search configs/search/nasbench201_three.py
"""

_base_ = "nasbench201.py"

name = "nasbench201_three"
space = dict(
    _delete_=True,
    type="nasbench201",
    operations=("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),  # 729 of the benchmark's 15,625
    channels=16,
    cells=1,
)
