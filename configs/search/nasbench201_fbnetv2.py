"""NAS-Bench-201's space by FBNetV2's Gumbel-softmax. Operations share no channels, so gates weight their outputs.

pinas-zoo search configs/search/nasbench201_fbnetv2.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_fbnetv2"
learn = dict(method="fbnetv2", steps=10_000)  # a step runs all five operations twice
explore = dict(score="classifier", rank_by="score", held_out_images=None)
