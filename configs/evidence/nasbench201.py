"""Evidence that a supernet ranks architectures: NAS-Bench-201 on CIFAR-10 (Table 4, Figures 3 and 5 to 8).

    pinas-zoo evidence nasbench201 --images cifar10.npz --truth nb201.csv                  # 27 hours, plus scoring
    pinas-zoo evidence nasbench201 --images IMAGES --truth CSV --runs pinas spos --seeds 0 --minutes 10
    pinas-zoo evidence nasbench201 --images IMAGES --truth CSV --sizes 729 --runs spos --minutes 4 --set learn.lr=0.1
    pinas-zoo evidence nasbench201 --truth CSV --report                                    # only the tables, in minutes

``--truth`` is a CSV with the columns ``arch_str``, ``flops_computed`` and those named below. The regimes of the runs
were chosen on half of the 729 architectures (``tuned``); tables call the other half "held-out".
"""

name = "nb201"  # results go to benchmarks/results/nb201 in a checkout
title = "Ranking on NAS-Bench-201"
introduction = (
    "Command: `pinas-zoo evidence configs/evidence/nasbench201.py --images IMAGES --truth CSV`. It adds runs to those "
    "below. Each row is one supernet, trained on CIFAR-10 at 16 x 16 pixels, with one cell per stage and 16 channels. "
    "Tau is Kendall's, compared with the table's test accuracy after 200 epochs, with a 95% bootstrap interval over "
    "architectures.",
    "Paths are scored in four ways. *Consistency* ranks all runs unless a table says otherwise: the similarity "
    "of the features of two views of the same held-out image, minus that of different images "
    '(`explore.score="consistency"`, 1,000 images). *Probe* is the squared error, on 1,000 held-out images, of a ridge '
    "regression that is fitted for each path on 500 training images. *Classifier* is the cross-entropy, on the same "
    "held-out images, of the classifier that all paths share, and *classifier's accuracy* is its top-1 accuracy, the "
    "paper's score (sec. 3.3). A supervised supernet has learned it. Π-NAS's is trained on the frozen supernet in a "
    "linear stage, whose time comes on top of the minutes. DNA's stages learn alone, each from a teacher's maps, so "
    "its paths are ranked by the sum of their stages' errors and by nothing else. Its teacher is a network of ResNet's "
    "cell, which is trained with labels on all training images beforehand, those on which paths are rated among them; "
    "this comes on top of the minutes, too. Earlier runs lack some of these scores. Batch norms use the "
    "statistics of the scored images, where the paper recalibrates.",
    "*Effects*: architectures are ranked by the sum of the main effects of their edges' operations "
    '(`explore.rank_by="effects"`). The effects are fitted to the scores of the scored architectures, predict the '
    "whole space, and use no accuracy of the table. An edge that no path takes counts as `none`. *Scores*: the scored "
    "architectures are ranked by their scores. *Smoothed*: by the places of their scores and of their sums of effects, "
    'half each (`explore.rank_by="smoothed"`).',
    "The views, the score that ranks, the ranking by effects and the training regimes were chosen on the tuned half "
    "with seed 0. Π-NAS's regime was chosen by consistency, SPOS's and FairNAS's by the probe after 4 minutes (by "
    "consistency, other regimes lead there: see the last table). The threshold at which scores are clipped was chosen "
    "with Π-NAS, with results on the larger spaces in view. Sums of effects have few parameters, which both halves "
    "share, so the held-out half is hardly more independent than all architectures; other seeds are.",
    "A table of scores stands below each ranking. It adds sums of log(place from the last / N) of several scores, "
    "which need no further scoring, and scores that need no supernet. Such a score is that of one network with random "
    "weights and the benchmark's five cells a stage, and of `jacov` the mean over four. *Better half*: the "
    "architectures whose accuracy is at least the median of all that are ranked. *Best of the first 10*: the highest "
    "accuracy among the ten that a score puts first; how many are scored matters for it. Accuracies on CIFAR-100 and "
    "ImageNet16-120 are compared with the same scores. Seconds of scoring are those of all scores of a supernet "
    "together.",
    "Intervals of effects treat the fit as fixed. They contain neither the variance of which architectures were "
    "scored, which a table shows for runs with enough scores, nor that of the seed. Minutes on different machines are "
    "not comparable: compare steps.",
)

# what is compared -----------------------------------------------------------------------------------------------------

truth = dict(
    column="cifar10_test_acc",
    label="each trained for 200 epochs, test images: the truth",
    others={  # accuracies that are ranked for comparison with the runs
        "each trained for 12 epochs": "cifar10_test_acc_12ep",
        "each trained for 200 epochs, validation images": "cifar10_valid_acc",
    },
    transfer={"CIFAR-100": "cifar100_test_acc", "ImageNet16-120": "imagenet16_test_acc"},
)
spaces = {  # operations allowed on every edge, by the number of architectures
    729: ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    4096: ("none", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    15625: ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
}
protocols = (  # the operations of ``supernet`` are trained, architectures of ``scored`` are ranked
    dict(supernet=15625, scored=729),  # sec. 4.3 and Figure 3
    dict(supernet=15625, scored=4096),  # Figure 8
)
tuned = dict(size=729, seed=123)  # half of this space, selected by this seed, on which the regimes were chosen
rank_by = "consistency"  # the best score of each method on the tuned half, after 30 minutes
training_free = (  # scored once for each space, without learning
    *("flops", "reachable_flops", "reachable_params", "convolutions", "shortest_path", "jacov", "naswot", "synflow"),
    *("grad_norm", "snip", "fisher", "zen", "zico"),
    *("az_expressivity", "az_progressivity", "az_trainability", "az_complexity"),
)
training_free_space = dict(cells=5)  # they take networks as deep as the benchmark's
initialisations = dict(jacov=4)  # its tau on all 15,625 is 0.54 with one
sums = (  # of logarithms of ranks, of scores above and of training_free
    ("consistency", "squared_error", "flops"),
    ("identification", "squared_error", "flops"),
    ("consistency", "jacov", "reachable_flops"),
    ("identification", "jacov", "reachable_flops"),
    ("consistency", "squared_error", "jacov", "reachable_flops"),
    ("consistency", "naswot", "jacov", "reachable_flops"),
    ("consistency", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity"),
    ("identification", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity"),
    ("jacov", "reachable_flops"),
    ("jacov", ("reachable_flops", 2), ("shortest_path", 0.5), "az_expressivity"),
    ("naswot", "jacov", "reachable_flops"),
    ("az_expressivity", "az_progressivity", "az_trainability", "az_complexity"),  # AZ-NAS
)
# the sum that is shown for each method; its weights were chosen with Π-NAS (benchmarks/results/equal_steps.md)
recommended = ("consistency", "jacov", ("reachable_flops", 2), "shortest_path", "az_expressivity")

# runs -----------------------------------------------------------------------------------------------------------------

search = dict(  # the configuration that all runs share
    space=dict(type="nasbench201", channels=16, cells=1),
    data=dict(image_size=16, val_per_class=500),
    learn=dict(batch_size=128, log_every=50, checkpoint_every=1000),
    linear=dict(steps=1000, lr=0.1, batch_size=256, log_every=50, checkpoint_every=1000, views=dict(scale=(0.5, 1.0))),
    explore=dict(
        score="consistency",
        batch_size=500,  # images whose views are compared with each other
        statistics="batch",
        held_out_images=1000,
        recalibration_images=500,  # training images on which probes are fitted
    ),
)
reference = "pinas"  # the run that others are compared with
runs = dict(
    pinas=dict(
        title="Π-NAS",
        printed="93.83±0; tau 0.70 of the 729, 0.65 of all",  # Table 4, Figures 3 and 6
        learn=dict(
            method="pinas",
            options=dict(
                hidden=128,
                head_norm=True,
                head_init="torch",
                queue_size=1024,
                temperature=0.1,
                momentum=0.99,
                warm_queue=True,
            ),
            lr=0.12,
            warmup=0.1,
            weight_decay=1e-4,
        ),
        views=dict(scale=(0.3, 1.0), blur_p=0.0),
    ),
    spos=dict(
        title="SPOS",
        printed="93.57±0; tau 0.57 of the 729, 0.60 of all",
        learn=dict(method="spos", lr=0.2, warmup=0.1, weight_decay=5e-4),
        views=dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),  # labels need less augmentation
    ),
    fairnas=dict(
        title="FairNAS",
        learn=dict(method="fairnas", lr=0.2, warmup=0.1, weight_decay=5e-4),
        views=dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    ),
    # the rivals learn in SPOS's regime, which was chosen for SPOS alone; their own options are those of configs/search
    fbnetv2=dict(title="FBNetV2", base="spos", learn=dict(method="fbnetv2")),
    tunas=dict(title="TuNAS", base="spos", learn=dict(method="tunas", options=dict(arch_lr=0.0003))),
    proxylessnas=dict(
        title="ProxylessNAS",
        printed="92.08±0.03",
        base="spos",
        learn=dict(method="proxylessnas", options=dict(arch_lr=0.006, cost_weight=0.0)),
    ),
    dna=dict(
        title="DNA",
        views=dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),
        learn=dict(method="dna"),
        teacher=dict(  # the cell of ResNet, with two a stage where supernets have one
            model="nasbench201",
            model_args=dict(
                arch="|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
                channels=16,
                cells=2,
            ),
            augment=dict(scale=(0.4, 1.0), color_jitter=0.2, interpolation="bilinear"),
            optim=dict(opt="sgd", lr=0.1, lr_batch=128, weight_decay=5e-4),
            schedule=dict(epochs=8, warmup_epochs=1),
            batch_size=128,
            eval_every=8,
            keep="last",
        ),
    ),
    gdas=dict(title="GDAS", base="spos", learn=dict(method="gdas")),
    gdas_nsas=dict(title="GDAS-NSAS", printed="93.55±0.16", base="spos", learn=dict(method="gdas_nsas")),
    nsas=dict(title="NSAS", base="spos", learn=dict(method="nsas")),
    wpl=dict(title="WPL", printed="90.92±0.11", base="spos", learn=dict(method="wpl", options=dict(fisher_norm=0.05))),
    pinas_no_cp=dict(
        title="Π-NAS without cross-path learning", base="pinas", learn=dict(options=dict(cross_path=False))
    ),
    pinas_no_mt=dict(title="Π-NAS without mean teacher", base="pinas", learn=dict(options=dict(mean_teacher=False))),
    pinas_no_negatives=dict(title="Π-NAS without negatives", base="pinas", learn=dict(options=dict(negatives=False))),
    untrained=dict(title="nothing learned", base="spos", learn=dict(lr=0.0, weight_decay=0.0)),
)

# defaults of the command's options ------------------------------------------------------------------------------------

measured = ("pinas", "spos", "fairnas")
replacements = ("pinas", "spos")  # the methods of Figure 7
seeds = (0, 1, 2)
minutes = 60  # of learning, per run
threads = 2
count = 1000  # largest number of architectures scored, chosen at random

report = dict(
    fitted=150,  # a run with fewer scores appears only in the table of trials
    best=100,  # number of best architectures in which skip connections are counted
)
