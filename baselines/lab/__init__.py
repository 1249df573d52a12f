"""The laboratory: all training methods on one small model, compared."""
