"""Classification with a network alone: recipes, training, fine-tuning, evaluation.

``config``      the tables of a recipe, which the files of ``configs/cls`` fill
``given_folder`` a folder of the user in place of the data set that a recipe names
``images``      a split's images through timm's transforms
``network``     the network to start from: new weights, its own, or another's; a head for the classes of the data
``classifier``  the network as the engine trains it: timm's loss, mixup, optimiser, schedule and moving average
``epochs``      what happens after an epoch: evaluation, the best weights, early stopping, one line of progress
``fit``         one network trained by a recipe and tested; the last stage of a search calls it, too
``run``         a whole run, from a recipe to a timm model folder
``evaluate``    top-1, top-5, per class, calibration, speed and memory of a network with weights
``results_page`` these results as one HTML page
"""
