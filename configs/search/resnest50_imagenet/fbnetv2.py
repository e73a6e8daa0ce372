"""FBNetV2 on the paper's space (Tables 2 and 3): the candidates of a layer are channel masks, chosen by gradient.

torchrun --nproc-per-node 8 -m pinas_zoo.cli search configs/search/resnest50_imagenet/fbnetv2.py --set data.root=FOLDER

A step runs all candidates twice. Epochs, rates and the part of the images that trains the architecture parameters are
those of FBNet, on which FBNetV2 builds. Nobody has tried them on this space.
"""

_base_ = "spos.py"

name = "resnest50_imagenet_fbnetv2"

data = dict(val_per_class=256)  # 20% of the training images
learn = dict(method="fbnetv2", options=dict(_delete_=True), epochs=90, batch_size=192, lr=0.1)
