"""NAS-Bench-201's space with NSAS on random paths: eight archived paths constrain each step.

pinas-zoo search configs/search/nasbench201_nsas.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_nsas"
learn = dict(method="nsas", steps=6_700)  # of nine passes; SPOS takes 60,000 of one
