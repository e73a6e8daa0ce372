# ResNet-50, Mask R-CNN, COCO 2017. Result: Table 5 of the paper.
#   tools/dist_train.sh configs/det/mask-rcnn_r50_fpn_syncbn_1x_coco.py 8
# Memory: 5.2 GB per GPU with 2 images of 800 x 1216, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# The backbone is mmdet's ResNet with torchvision's weights, the usual baseline of OpenMMLab.
_base_ = "./_base_/mask-rcnn_fpn_syncbn_1x_coco.py"
model = dict(backbone=dict(init_cfg=dict(checkpoint="torchvision://resnet50")))
