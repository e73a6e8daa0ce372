# Π-NAS-cls (3013231203213032), DeepLabV3, Cityscapes. The paper has no figure: Table 6 has no row of Π-NAS-cls.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas_cls-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_pinas_cls-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 7.0 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Weights: none are published yet; register yours once by `pinas-zoo register pinas_cls --folder FOLDER`.
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
