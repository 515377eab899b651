"""MLflow: the records replayed into a store that can be rebuilt at any time."""
