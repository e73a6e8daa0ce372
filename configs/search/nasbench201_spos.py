"""NAS-Bench-201's space learned by SPOS, with labels; method="fairnas" takes the same keys.

pinas-zoo search configs/search/nasbench201_spos.py
"""

_base_ = "nasbench201.py"

name = "nasbench201_spos"
learn = dict(method="spos", options=dict(_delete_=True), steps=20_000, lr=0.05)
