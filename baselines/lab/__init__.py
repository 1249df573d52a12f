"""A laboratory that fits on a desk: a tiny model, made and trained by every method, and their comparison."""
