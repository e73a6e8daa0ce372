# Π-NAS-trans (3333113330011021), DeepLabV3, Cityscapes. Paper (Table 6): mIoU 80.40±0.30.
# Authors' README, for their published file: mIoU 80.70.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas_trans-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_pinas_trans-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 7.1 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Weights: none are published yet; register yours once by `pinas-zoo register pinas_trans --folder FOLDER`.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="pinas_trans",
        output_stride=8,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="pinas:pinas_trans"),
    ),
)
