"""NAS-Bench-201's space with WPL: random paths whose shared weights are pulled to where earlier paths need them.

pinas-zoo search configs/search/nasbench201_wpl.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_wpl"
learn = dict(method="wpl", steps=52_500)  # every seventh step has a second pass; SPOS takes 60,000 of one
