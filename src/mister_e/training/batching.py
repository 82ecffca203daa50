"""Batches of items of similar length; the same for a seed and an epoch in every process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mister_e.training.runtime import generator

#: Batches in a pool. Items are sorted by length within a pool of random items: a large pool leaves
#: few pads, a small one keeps the batches of an epoch random.
_POOL_BATCHES = 50

#: An item's weight is at most so many times the mean weight: items of a tiny cell would be memorised.
_MAX_WEIGHT = 4


def length_bucketed(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Shuffle items into batches of one size and similar length, so that few positions are pads.

    :param lengths: length of each item.
    :param batch_size: items in a batch; the last batch of a pool may have fewer.
    :param seed: of the order; another one for each epoch.
    :return: batches of positions, in random order.
    """
    random = generator(seed)
    shuffled = torch.randperm(len(lengths), generator=random).tolist()
    batches = []
    pool_size = batch_size * _POOL_BATCHES
    for first in range(0, len(shuffled), pool_size):
        pool = sorted(shuffled[first : first + pool_size], key=lambda i: lengths[i])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=random).tolist()]


def budgeted(
    costs: Sequence[int], *, budget: int, max_items: int | None, seed: int, epoch: int
) -> list[list[int]]:
    """Shuffle items into batches of similar cost whose padded cost stays within a budget.

    :param costs: cost of each item, such as its number of tokens.
    :param budget: greatest padded cost of a batch: number of items times the highest cost among them; an
        item that costs more than that is a batch of its own.
    :param max_items: items in a batch at most; None = as many as the budget allows.
    :param seed: of the run.
    :param epoch: 0-based; another epoch, another order.
    :return: batches of positions, in random order.
    """
    random = np.random.default_rng((seed, epoch))
    shuffled = random.permutation(len(costs)).tolist()
    mean = max(1.0, float(np.mean(costs)))
    pool_size = _POOL_BATCHES * max(1, min(max_items or len(costs), int(budget / mean)))
    batches: list[list[int]] = []
    for first in range(0, len(shuffled), pool_size):
        batch: list[int] = []
        for i in sorted(shuffled[first : first + pool_size], key=lambda i: costs[i]):
            full = max_items is not None and len(batch) >= max_items
            # costs rise within a pool, so that of this item is what all the batch is padded to
            if batch and (full or costs[i] * (len(batch) + 1) > budget):
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    return [batches[i] for i in random.permutation(len(batches)).tolist()]


def balanced_draws(labels: Sequence[int], groups: Sequence[str], draws: int, seed: int) -> list[int]:
    """Draw positions with replacement so that each cell, a pair of group and class, is equally likely.

    Within reason: the weight of an item is at most four times the mean, so that very rare cells stay rarer.

    :param labels: class of each item.
    :param groups: group of each item, such as its corpus.
    :param draws: number of positions to draw.
    :param seed: of the draws.
    :return: positions, in the order drawn.
    """
    cells = [f"{group}/{label}" for group, label in zip(groups, labels, strict=True)]
    names, counts = np.unique(cells, return_counts=True)
    # Without the bound an item weighs 1 / (size of its cell), so that every cell sums to 1, all K cells to
    # K, and the mean over N items is K / N.
    largest = _MAX_WEIGHT * len(names) / len(cells)
    weight = dict(zip(names.tolist(), np.minimum(1 / counts, largest), strict=True))
    weights = torch.tensor([weight[cell] for cell in cells])
    drawn: list[int] = torch.multinomial(weights, draws, replacement=True, generator=generator(seed)).tolist()
    return drawn
