"""Templates of what stands beside the data: the dataset card. Rendered by `polyfact_dataset.release.card`."""
