"""Baselines: simple models on the same embeddings, trained and scored under the same protocol."""

from mister_e.evaluation.baselines.run import BASELINES, markdown, run_baselines

__all__ = ["BASELINES", "markdown", "run_baselines"]
