"""Scores of runs and of model folders under a protocol, with intervals; ablations and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.evaluation.model_folder import evaluate_model
    from mister_e.evaluation.protocol import ScoreProtocol
    from mister_e.evaluation.scorecard import Scorecard
    from mister_e.evaluation.summary import Evaluation
    from mister_e.evaluation.trained_run import evaluate_run

__all__ = [
    "Evaluation",
    "ScoreProtocol",
    "Scorecard",
    "evaluate_model",
    "evaluate_run",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Evaluation": "summary",
        "ScoreProtocol": "protocol",
        "Scorecard": "scorecard",
        "evaluate_model": "model_folder",
        "evaluate_run": "trained_run",
    },
)
