"""From embeddings to predictions, and the model folder that holds all it needs."""
