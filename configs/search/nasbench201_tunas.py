"""NAS-Bench-201's space by TuNAS: a policy learns by REINFORCE, rewarded on held-out images.

pinas-zoo search configs/search/nasbench201_tunas.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_tunas"
learn = dict(method="tunas", options=dict(arch_lr=0.0003), steps=40_000)
explore = dict(score="classifier", rank_by="score", held_out_images=None)
