"""NAS-Bench-201's space with GDAS-NSAS (Table 4): NSAS on the paths that GDAS samples.

pinas-zoo search configs/search/nasbench201_gdas_nsas.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_gdas_nsas"
learn = dict(method="gdas_nsas", steps=6_000)  # of ten passes; SPOS takes 60,000 of one
