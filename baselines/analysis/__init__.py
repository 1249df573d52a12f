"""Mechanistic analyses: neurons, heads and layers that process one language, and how a model fails (paper, section 5)."""
