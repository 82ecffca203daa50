"""Scores of predictions, with intervals and calibration error: arrays in, numbers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.metrics.bootstrap import intervals
    from mister_e.metrics.classification import class_scores, confusion_matrix, overall_scores, weighted_f1
    from mister_e.metrics.reliability import Reliability
    from mister_e.metrics.summary import mean_std

__all__ = [
    "Reliability",
    "class_scores",
    "confusion_matrix",
    "intervals",
    "mean_std",
    "overall_scores",
    "weighted_f1",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Reliability": "reliability",
        "class_scores": "classification",
        "confusion_matrix": "classification",
        "intervals": "bootstrap",
        "mean_std": "summary",
        "overall_scores": "classification",
        "weighted_f1": "classification",
    },
)
