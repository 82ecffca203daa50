"""Settings of recipes: of the two stages, and of the network that tells changes of voice."""

from __future__ import annotations

from mister_e.training.settings.stages import (
    STORE_SIZES,
    AugmentationConfig,
    FinetuneSettings,
    LoopSettings,
    MixtureRecipe,
    MixtureSettings,
    PairingConfig,
    Range,
    RecordingSimulationConfig,
    SamplingConfig,
    Section,
    Tracker,
)

__all__ = [
    "STORE_SIZES",
    "AugmentationConfig",
    "FinetuneSettings",
    "LoopSettings",
    "MixtureRecipe",
    "MixtureSettings",
    "PairingConfig",
    "Range",
    "RecordingSimulationConfig",
    "SamplingConfig",
    "Section",
    "Tracker",
]
