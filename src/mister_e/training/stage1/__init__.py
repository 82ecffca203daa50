"""Stage 1: fine-tune an utterance encoder to classify turns."""
