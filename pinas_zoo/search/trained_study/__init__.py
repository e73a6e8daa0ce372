"""A study: do supernet scores rank architectures as training each of them alone does (Table 3, Figure 4)?

Its folder::

    work_dirs/NAME/study.json                    the resolved configuration
                   supernets/METHOD/seed-N/      the run folder of a search: learn, linear, explore
                   scores/METHOD_seed-N.csv      scores of the studied architectures in that supernet
                   trained/ARCH/seed-N/          a run folder of pinas_zoo.train
                   study.db                      leases: which worker does what
                   report.md report.json report.html scatter.svg

:mod:`config` says what is studied, :mod:`architectures` which architectures, :mod:`supernets` and :mod:`trainings` do
the work, :mod:`jobs` spreads it over workers, :mod:`outcomes` reads results of detection and segmentation,
:mod:`correlations` compares scores with accuracies, and :mod:`report` writes the page.
"""
