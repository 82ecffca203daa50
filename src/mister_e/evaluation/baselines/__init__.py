"""What the mixture must beat: simple models under the same protocol, on the same embeddings."""

from mister_e.evaluation.baselines.run import BASELINES, markdown, run_baselines

__all__ = ["BASELINES", "markdown", "run_baselines"]
