"""scikit-learn's 1,797 scanned digits: about a minute of one core, and no data to fetch.

pinas-zoo train --config digits
"""

name = "digits_trained"
model = "111111"  # ResNeSt's blocks
model_args = dict(depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)  # as configs/search/digits.py
data = dict(type="digits", image_size=32, crop_pct=1.0)
# no flip, because mirrored digits are not digits
augment = dict(scale=(0.7, 1.0), hflip=0.0, color_jitter=0.0, interpolation="bilinear")
loss = dict(smoothing=0.1)
optim = dict(opt="sgd", lr=0.2, lr_batch=256, weight_decay=5e-4)
schedule = dict(epochs=15, warmup_epochs=1)
batch_size = 64
log_every = 10
keep = "last"
