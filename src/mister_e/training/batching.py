"""Batches of like length, the same ones for a seed and an epoch whatever process asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mister_e.training.runtime import generator


def length_bucketed(lengths: Sequence[int], batch: int, seed: int) -> list[list[int]]:
    """Shuffle into batches of like length, so that little of a batch is pads.

    :param lengths: length of each item.
    :param batch: items in a batch.
    :param seed: order of this epoch.
    :return: batches of positions, in random order.
    """
    random = generator(seed)
    shuffled = torch.randperm(len(lengths), generator=random).tolist()
    batches = []
    pool = batch * 50
    for first in range(0, len(shuffled), pool):
        bucket = sorted(shuffled[first : first + pool], key=lambda i: lengths[i])
        batches += [bucket[i : i + batch] for i in range(0, len(bucket), batch)]
    return [batches[i] for i in torch.randperm(len(batches), generator=random).tolist()]


def budgeted(
    costs: Sequence[int], *, budget: int, most: int | None, seed: int, epoch: int
) -> list[list[int]]:
    """Shuffle into batches of like cost, none dearer than a budget, pads included.

    :param costs: cost of each example, such as its tokens.
    :param budget: longest times count of a batch; an example dearer than that makes a batch alone.
    :param most: examples in a batch at most; None = as the budget allows.
    :param seed: of the run.
    :param epoch: another epoch, another order.
    :return: batches of positions, in random order.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(costs)).tolist()
    mean = max(1.0, float(np.mean(costs)))
    pool = 50 * max(1, min(most or len(costs), int(budget / mean)))
    batches: list[list[int]] = []
    for first in range(0, len(shuffled), pool):
        batch: list[int] = []
        for i in sorted(shuffled[first : first + pool], key=lambda i: costs[i]):
            full = most is not None and len(batch) >= most
            if batch and (full or costs[i] * (len(batch) + 1) > budget):
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    return [batches[i] for i in random.permutation(len(batches)).tolist()]


def balanced_draws(labels: Sequence[int], groups: Sequence[str], draws: int, seed: int) -> list[int]:
    """Positions drawn with replacement, each (group, class) equally likely.

    Within reason: a cell gets at most four times its share, so that rare clips are not learned by heart.
    """
    cells = [f"{group}/{label}" for group, label in zip(groups, labels, strict=True)]
    names, counts = np.unique(cells, return_counts=True)
    weight = dict(zip(names.tolist(), np.minimum(1 / counts, 4 * len(names) / len(cells)), strict=True))
    weights = torch.tensor([weight[cell] for cell in cells])
    drawn: list[int] = torch.multinomial(weights, draws, replacement=True, generator=generator(seed)).tolist()
    return drawn
