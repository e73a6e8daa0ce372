"""Fine-tuning on a folder of images: a network with weights gets a classifier for the folder's classes.

All numbers are our choice, for data sets of some hundreds to some ten thousand images on one GPU or a few cores.

pinas-zoo train work_dirs/mine/winner --data flowers
pinas-zoo train resnet50.a1_in1k --data flowers --config finetune --set data.image_size=288
"""

name = "finetuned"
start = "weights"
batch_size = 64
augment = dict(scale=(0.35, 1.0), auto_augment="rand-m6-n2-mstd0.5")
mix = dict(mixup_alpha=0.1)
loss = dict(type="ce", smoothing=0.1)  # class_weight="inv_freq" where classes differ much in size
optim = dict(
    opt="adamw",
    lr=5e-4,
    lr_batch=64,
    lr_scaling="sqrt",  # as timm scales Adam's
    weight_decay=0.05,
    layer_decay=0.75,  # the stem learns least, the classifier most
    clip_grad=1.0,
)
schedule = dict(epochs=30, warmup_epochs=2)
ema = dict(enabled=True, decay=0.999)
keep = "best"
patience = 8  # epochs without a better accuracy
skip_unreadable = False
