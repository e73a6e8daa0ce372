"""Evidence: supernets of several methods, learned within one budget, rank architectures that were trained from scratch.

plan       the configuration, and the runs that follow from it
images     CIFAR-10 as a folder
budget     how many steps the budget pays for
measure    learns one supernet, scores its paths, keeps scores and facts
scoring    the scores of a path
training_free   scores that need no supernet: measured, kept and read back
truth      accuracies of the architectures trained from scratch
results    kept runs, read back
tables, scores_table, regime_tables, figures, report    what the kept runs say
"""
