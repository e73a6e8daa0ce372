# ResNeSt-50, DeepLabV3, Cityscapes. Paper (Table 6): mIoU 80.08±0.20.
#   tools/dist_train.sh configs/seg/deeplabv3_resnest50-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_resnest50-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 7.0 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Candidate 1 (2s1x64d) in all layers is ResNeSt-50. The class is that of Π-NAS, so that only the choices differ.
# It starts from timm's resnest50d.in1k, an identical network with the same tensor names; the paper's baseline starts
# from its own weights, trained with AugMix (sec. 4.2), which are not public.
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
