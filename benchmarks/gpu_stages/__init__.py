"""Stages of ``benchmarks/gpu.py``: one file a stage, each with a function per question of :mod:`.plan`."""
