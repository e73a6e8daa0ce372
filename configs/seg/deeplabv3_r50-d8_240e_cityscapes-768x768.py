# ResNet-50, DeepLabV3, Cityscapes. Paper (Table 6): mIoU 78.42±0.30.
#   tools/dist_train.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_r50-d8_240e_cityscapes-768x768.py CHECKPOINT 8 --tta
# Memory: 5.6 GB per GPU with 2 images of 768 x 768, counted by benchmarks/transfer.py --memory, without the workspace
# of convolutions. Time: not measured, for lack of a GPU.
# The backbone is the plain ResNet-50 of Table 2 (25.6M parameters, 4.12G FLOPs), mmseg's. It starts from torchvision's
# weights; the paper's baseline starts from its own, trained with AugMix (sec. 4.2), which are not public.
_base_ = "./_base_/deeplabv3-d8_240e_cityscapes-768x768.py"
model = dict(pretrained="torchvision://resnet50", backbone=dict(type="ResNet"))
