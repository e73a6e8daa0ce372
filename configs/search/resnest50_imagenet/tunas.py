"""TuNAS on the paper's space (Tables 2 and 3): a policy over channel decisions learns by REINFORCE.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/tunas.py --set data.root=FOLDER

The policy's rate is that of the released code for 256 images; epochs and label smoothing are its, too. Images and rate
of the weights are those of spos.py. The target is ResNeSt-50's cost, which Π-NAS compares itself with. Nobody has tried
these settings on this space.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_tunas"

learn = dict(method="tunas", options=dict(_delete_=True, target_flops_g=5.37, arch_lr=0.0003), epochs=90)
