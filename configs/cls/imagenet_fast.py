"""The paper's fast setting (Table 1): ResNeSt's recipe with a batch of 512, for ResNet-50, ResNeSt-50, alpha, gamma, …

pinas-zoo train pinas_alpha --data imagenet --config imagenet_fast
torchrun --nproc-per-node 8 -m pinas_zoo.cli train 1111111111111111 --data imagenet --config imagenet_fast
"""

_base_ = ["_base_/resnest.py"]

name = "imagenet_fast"
batch_size = 512  # sec. 4.2; the paper's 8 GPUs took 64 images each
