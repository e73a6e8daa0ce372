# ResNet-50, Mask R-CNN, COCO 2017. Paper (Table 5): box AP 39.93±0.04, mask AP 35.99±0.06.
#   tools/dist_train.sh configs/det/mask-rcnn_r50_fpn_syncbn_1x_coco.py 8
# Memory: 5.2 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# The backbone is the plain ResNet-50 of Table 2 (25.6M parameters, 4.12G FLOPs), mmdet's. It starts from torchvision's
# weights; the paper's baseline starts from its own, trained with AugMix (sec. 4.2), which are not public.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(backbone=dict(init_cfg=dict(checkpoint="torchvision://resnet50")))
