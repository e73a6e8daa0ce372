# ResNeSt-50, Mask R-CNN, COCO 2017. Paper (Table 5): box AP 42.81±0.02, mask AP 38.14±0.01.
#   tools/dist_train.sh configs/det/mask-rcnn_resnest50_fpn_syncbn_1x_coco.py 8
# Memory: 6.6 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# Candidate 1 (2s1x64d) in all layers is ResNeSt-50. The class is that of Π-NAS, so that only the choices differ.
# It starts from timm's resnest50d.in1k, an identical network with the same tensor names; the paper's baseline starts
# from its own weights, trained with AugMix (sec. 4.2), which are not public.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(
    backbone=dict(
        _delete_=True,
        type="PiNAS",
        arch="1" * 16,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="hf-hub:timm/resnest50d.in1k"),
    )
)
