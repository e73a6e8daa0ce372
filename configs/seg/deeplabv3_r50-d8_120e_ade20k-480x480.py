# ResNet-50, DeepLabV3, ADE20K. The paper's figure: see Table 6 of the paper.
#   tools/dist_train.sh configs/seg/deeplabv3_r50-d8_120e_ade20k-480x480.py 8
#   tools/dist_test.sh configs/seg/deeplabv3_r50-d8_120e_ade20k-480x480.py CHECKPOINT 8 --tta
# Memory: 3.0 GB a GPU with 2 images of 480 x 480, counted by benchmarks/transfer.py --memory, without what
# convolutions use as workspace. Time: not measured.
# The backbone is mmseg's own ResNet-50 with a deep stem (V1c), as PyTorch-Encoding's is.
_base_ = "./_base_/deeplabv3-d8_120e_ade20k-480x480.py"
model = dict(pretrained="open-mmlab://resnet50_v1c")
