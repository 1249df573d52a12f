"""Mechanistic analyses: neurons, heads and layers of one language, and how a model fails (paper, section 5)."""
