"""Training: stage 1 fine-tunes encoders, stage 2 trains the mixture; one loop, settings from a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names

if TYPE_CHECKING:
    from mister_e.training.loop import Loop
    from mister_e.training.losses import LossConfig
    from mister_e.training.recipe import Recipe, read_recipe
    from mister_e.training.stage1.run import run_stage1
    from mister_e.training.stage2.run import run_stage2

__all__ = [
    "Loop",
    "LossConfig",
    "Recipe",
    "read_recipe",
    "run_stage1",
    "run_stage2",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Loop": "loop",
        "LossConfig": "losses",
        "Recipe": "recipe",
        "read_recipe": "recipe",
        "run_stage1": "stage1.run",
        "run_stage2": "stage2.run",
    },
)
