"""SPOS on NAS-Bench-201, with labels; method="fairnas" takes the same keys.

pinas-zoo search nasbench201_spos
"""

_base_ = "nasbench201.py"

name = "nasbench201_spos"
views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0)
# as much compute as Π-NAS: a step has one pass where its steps have four
learn = dict(method="spos", options=dict(_delete_=True), steps=60_000, lr=0.2, weight_decay=5e-4)
