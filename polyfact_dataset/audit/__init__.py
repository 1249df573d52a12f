"""The audit: whether a release measures recall, gate by gate. One module per audit; `run` combines them."""
