"""NAS-Bench-201's space with GDAS: Gumbel samples of one candidate per edge, learned on held-out images.

pinas-zoo search configs/search/nasbench201_gdas.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_gdas"
learn = dict(method="gdas", steps=30_000)  # of two passes; SPOS takes 60,000 of one
