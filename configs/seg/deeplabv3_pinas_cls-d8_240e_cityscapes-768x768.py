# Π-NAS-cls (3013231203213032), DeepLabV3, Cityscapes. The paper's figure: see Table 6 of the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas_cls-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_pinas_cls-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 7.0 GB a GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# Weights: `pinas-zoo register pinas_cls --folder FOLDER` once; none are published yet.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="pinas_cls",
        output_stride=8,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="pinas:pinas_cls"),
    ),
)
