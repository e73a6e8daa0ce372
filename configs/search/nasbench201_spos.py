"""NAS-Bench-201's space with a supernet trained by SPOS, with labels. method="fairnas" accepts the same keys.

pinas-zoo search configs/search/nasbench201_spos.py
"""

_base_ = "nasbench201.py"

name = "nasbench201_spos"
views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0)
# whether fewer steps rank better, as they do for Π-NAS, was not tried
learn = dict(method="spos", options=dict(_delete_=True), steps=60_000, lr=0.2, weight_decay=5e-4)
