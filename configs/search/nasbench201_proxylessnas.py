"""NAS-Bench-201's space with ProxylessNAS: binary gates learned on held-out images.

pinas-zoo search configs/search/nasbench201_proxylessnas.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_proxylessnas"
learn = dict(
    method="proxylessnas",
    options=dict(
        arch_lr=0.006,  # our choice; released: 0.001 on ImageNet, with about 114,000 updates
        cost_weight=0.0,  # the benchmark ranks by accuracy alone
    ),
    steps=20_000,  # of three passes each, in nasbench201_spos.py 60,000 of one
)
