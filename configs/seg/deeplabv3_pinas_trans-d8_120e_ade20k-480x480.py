# Π-NAS-trans (3333113330011021), DeepLabV3, ADE20K. Paper (Table 6): pixel accuracy 81.31±0.04, mIoU 45.49±0.02.
# Authors' README, for their published file: pixel accuracy 81.27, mIoU 45.47.
#   tools/dist_train.sh configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_pinas_trans-d8_120e_ade20k-480x480.py CHECKPOINT 8 --tta
# Memory: 3.6 GB per GPU with 2 images of 480 x 480, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Weights: none are published yet; register yours once by `pinas-zoo register pinas_trans --folder FOLDER`.
_base_ = "./_base_/deeplabv3-d8_120e_ade20k-480x480.py"
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
