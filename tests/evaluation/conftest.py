from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mister_e.inference.predictions import Predictions


def make_predictions(
    conversations: int = 30,
    turns: int = 8,
    classes: int = 7,
    *,
    seed: int = 0,
    skill: float = 1.2,
    missing: float = 0.1,
    unlabelled: float = 0.05,
    ids: str = "dia{}",
    experts: bool = True,
) -> Predictions:
    """Predictions by a mixture whose experts lean to the label; truth and presence do not follow `seed`."""
    world, model = np.random.default_rng(99), np.random.default_rng(seed)
    lengths = world.integers(1, 2 * turns, conversations)
    count = int(lengths.sum())
    labels = world.choice(classes, count, p=np.arange(classes, 0, -1) / np.arange(classes, 0, -1).sum())
    has_speech, has_text = world.random(count) > missing, world.random(count) > missing / 2
    present = np.stack([has_speech, has_text, has_speech & has_text], 1)
    expert_logits = model.normal(size=(count, 3, classes))
    expert_logits[np.arange(count), :, labels] += skill
    expert_logits = np.where(present[..., None], expert_logits, 0).astype(np.float32)
    weights = np.where(present, np.exp(model.normal(size=(count, 3))), 0)
    total = weights.sum(1, keepdims=True)
    gate = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0).astype(np.float32)
    return Predictions(
        ids=[f"u{i}" for i in range(count)],
        conversations=np.repeat(np.arange(conversations), lengths),
        conversation_ids=[ids.format(i) for i in range(conversations)],
        labels=np.where(world.random(count) < unlabelled, -1, labels),
        logits=(gate[..., None] * expert_logits).sum(1),
        predicted=present.any(1),
        experts=expert_logits if experts else None,
        present=present if experts else None,
        gate=gate if experts else None,
    )


@pytest.fixture(scope="session")
def made() -> Callable[..., Predictions]:
    """Make predictions by hand."""
    return make_predictions
