"""NAS-Bench-201's space searched by arch2vec: embeddings that are learned without scores, and Bayesian optimisation.

arch2vec has no supernet. Its paper takes accuracies of trained networks from the benchmark; here SPOS's supernet scores
the candidates.

    pinas-zoo search configs/search/nasbench201_arch2vec.py
"""

_base_ = "nasbench201_spos.py"

name = "nasbench201_arch2vec"
explore = dict(score="classifier", rank_by="score", held_out_images=None, sampler="arch2vec", evaluations=100)
