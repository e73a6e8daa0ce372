"""NAS-Bench-201's space with stages that imitate those of a teacher, by DNA, without labels.

    pinas-zoo search configs/search/nasbench201_dna.py

The teacher needs maps of strides 1, 2 and 4, as timm's VGGs have. The first run downloads the weights of VGG-16. A
network of this space that was trained before is another choice:

    --set learn.options.teacher=local-dir:work_dirs/nasbench201_spos/trained

All stages repeat one cell, so the traversal measures every architecture of the subspace.
"""

_base_ = "nasbench201.py"

name = "nasbench201_dna"
data = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))  # the teacher's
views = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0)
learn = dict(method="dna", options=dict(_delete_=True), steps=60_000)
explore = dict(score="classifier", rank_by="score", held_out_images=None, sampler="traversal", statistics="batch")
