"""Baselines of the paper: prompts, metrics, evaluation, training and analysis on a release of PolyFact."""
