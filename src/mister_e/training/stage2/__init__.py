"""Stage 2: train the mixture of experts on stored embeddings."""
