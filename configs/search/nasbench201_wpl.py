"""NAS-Bench-201's space with WPL: random paths whose shared weights are pulled to where earlier paths need them.

pinas-zoo search configs/search/nasbench201_wpl.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_wpl"
# lr * strength * fisher_norm is 0.6: with the released norm of 10, SGD at this rate overshoots. Every seventh step has
# a second pass; SPOS takes 60,000 of one
learn = dict(method="wpl", options=dict(fisher_norm=0.05), steps=52_500)
