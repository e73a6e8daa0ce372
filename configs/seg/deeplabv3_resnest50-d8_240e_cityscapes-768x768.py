# ResNeSt-50, DeepLabV3, Cityscapes. The paper's figure: see Table 6 of the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_resnest50-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_resnest50-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 7.0 GB a GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# All layers 1, candidate 2s1x64d, are ResNeSt-50. The class is the same as for Π-NAS, so only the choices differ.
# Weights are timm's resnest50d.in1k, whose names and numbers are the same.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="1" * 16,
        output_stride=8,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="hf-hub:timm/resnest50d.in1k"),
    ),
)
