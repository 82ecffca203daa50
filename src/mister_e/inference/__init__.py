"""From embeddings to predictions, and the model folder that holds all that use needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.inference.calibration import Calibration
    from mister_e.inference.model_config import ModelConfig
    from mister_e.inference.model_folder import ModelFolder
    from mister_e.inference.predictions import Predictions
    from mister_e.inference.predictor import Predictor, TurnPredictions

__all__ = [
    "Calibration",
    "ModelConfig",
    "ModelFolder",
    "Predictions",
    "Predictor",
    "TurnPredictions",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Calibration": "calibration",
        "ModelConfig": "model_config",
        "ModelFolder": "model_folder",
        "Predictions": "predictions",
        "Predictor": "predictor",
        "TurnPredictions": "predictor",
    },
)
