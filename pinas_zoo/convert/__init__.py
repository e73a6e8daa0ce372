"""Checkpoints of the authors' code into networks, detectors and segmenters of this package."""
