"""What all trainers share: their configuration, the run with its checkpoints, merging an adapter, pushing a model."""
