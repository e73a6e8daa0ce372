"""Does a supernet rank architectures? NAS-Bench-201 on CIFAR-10 (Table 4, Figures 3 and 5 to 8).

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
    "Command: `pinas-zoo evidence configs/evidence/nasbench201.py --images IMAGES --truth CSV`, which adds runs to "
    "those below; a row is one supernet, learned on CIFAR-10 at 16 x 16 pixels, one cell a stage, 16 channels. Tau is "
    "Kendall's, against the table's test accuracy after 200 epochs, with its 95% bootstrap interval over "
    "architectures.",
    "Paths are scored in two or three ways. *Consistency*, by which all are ranked unless a table says otherwise: how "
    "much more alike two views of a held-out image are than views of two, by features "
    '(`explore.score="consistency"`, 1,000 images). *Probe*: the squared error of a ridge regression of each path\'s '
    "own, fitted on 500 training images, on 1,000 held-out ones. *Classifier*: the cross-entropy of the one that a "
    "supervised supernet learned, on as many.",
    "*Effects*: architectures ranked by the sums of what each edge's choice adds to the score on average over those "
    'that were scored (`explore.rank_by="effects"`), which predicts all of the space; no accuracy of the table goes '
    "in. *Scores*: ranked by the scores themselves, of those that were scored. Views, which score ranks, this way of "
    "ranking and regimes were chosen on the tuned half, by seed 0: Π-NAS's regime by consistency, SPOS's and FairNAS's "
    "by the probe after 4 minutes (by consistency, others are ahead there: the last table). How far a score counts "
    "before it is clipped was chosen with Π-NAS on the larger spaces in sight. As sums of effects have few parameters "
    "that both halves share, the other half checks little more than all do; other seeds do. Intervals of effects take "
    "the fit as it is: they hold no chance of which architectures were scored, which a table shows where a run has "
    "enough scores, nor of the seed. Minutes of two machines are not the same: compare steps.",
)

# what is compared -----------------------------------------------------------------------------------------------------

truth = dict(
    column="cifar10_test_acc",
    label="each trained for 200 epochs, test images: the truth",
    others={  # accuracies that are ranked beside the runs
        "each trained for 12 epochs": "cifar10_test_acc_12ep",
        "each trained for 200 epochs, validation images": "cifar10_valid_acc",
    },
)
spaces = {  # operations allowed on every edge, by the number of architectures
    729: ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    4096: ("none", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    15625: ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
}
tuned = dict(size=729, seed=123)  # half of this space's architectures, drawn by this seed, chose the regimes
rank_by = "consistency"  # the score that the tuned half prefers for each method, after 30 minutes

# runs -----------------------------------------------------------------------------------------------------------------

search = dict(  # the configuration that all runs share
    space=dict(type="nasbench201", channels=16, cells=1),
    data=dict(image_size=16, val_per_class=500),
    learn=dict(batch_size=128, log_every=50, checkpoint_every=1000),
    explore=dict(
        score="consistency",
        batch_size=500,  # images whose views are compared at a time
        statistics="batch",
        held_out_images=1000,
        recalibration_images=500,  # that probes are fitted on
    ),
)
reference = "pinas"  # the run that others are compared with
runs = dict(
    pinas=dict(
        title="Π-NAS",
        learn=dict(
            method="pinas",
            options=dict(hidden=128, head_norm=True, queue_size=1024, temperature=0.1, momentum=0.99, warm_queue=True),
            lr=0.12,
            warmup=0.1,
            weight_decay=1e-4,
        ),
        views=dict(scale=(0.3, 1.0), blur_p=0.0),
    ),
    spos=dict(
        title="SPOS",
        learn=dict(method="spos", lr=0.2, warmup=0.1, weight_decay=5e-4),
        views=dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),  # labels need less augmentation
    ),
    fairnas=dict(
        title="FairNAS",
        learn=dict(method="fairnas", lr=0.2, warmup=0.1, weight_decay=5e-4),
        views=dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0),
    ),
    pinas_no_cp=dict(
        title="Π-NAS without cross-path learning", base="pinas", learn=dict(options=dict(cross_path=False))
    ),
    pinas_no_mt=dict(title="Π-NAS without mean teacher", base="pinas", learn=dict(options=dict(mean_teacher=False))),
    pinas_no_negatives=dict(title="Π-NAS without negatives", base="pinas", learn=dict(options=dict(negatives=False))),
    untrained=dict(title="nothing learned", base="spos", learn=dict(lr=0.0, weight_decay=0.0)),
)

# what is measured unless the command says otherwise -------------------------------------------------------------------

measured = ("pinas", "spos", "fairnas")
seeds = (0, 1, 2)
minutes = 60  # of learning, a run
threads = 2
count = 1000  # architectures scored at most, random ones

report = dict(
    fitted=150,  # a trial with fewer scores appears in the table of trials alone
    best=100,  # architectures among which skip connections are counted
    printed={"paper, Π-NAS": 0.70, "paper, SPOS": 0.57},  # taus drawn as lines
)
