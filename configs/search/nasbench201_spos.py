"""NAS-Bench-201's space learned by SPOS, with labels; method="fairnas" takes the same keys.

pinas-zoo search configs/search/nasbench201_spos.py
"""

_base_ = "nasbench201.py"

name = "nasbench201_spos"
views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0)
# as long as Π-NAS: one pass for its four
learn = dict(method="spos", options=dict(_delete_=True), steps=60_000, lr=0.2, weight_decay=5e-4)
