"""Samplers of architectures for Optuna."""
