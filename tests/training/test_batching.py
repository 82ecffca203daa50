"""Batches against independent constructions: what they hold, in which order, how often items are drawn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.training.batching import balanced_draws, budgeted, length_bucketed

few = settings(max_examples=30, deadline=None)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=120)


def positions(batches):
    return sorted(position for batch in batches for position in batch)


def of_batches(values, batches):
    """The values of the items of each batch; sorted, as batches come in random order."""
    return sorted(sorted(values[position] for position in batch) for batch in batches)


# batches of one size


@given(lengths=LENGTHS, batch_size=st.integers(3, 9), seed=st.integers(0, 100))
@few
def test_batches_of_one_pool_are_the_slices_of_the_sorted_lengths(lengths, batch_size, seed):
    batches = length_bucketed(lengths, batch_size, seed)

    assert positions(batches) == list(range(len(lengths)))
    ordered = sorted(lengths)
    slices = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    assert of_batches(lengths, batches) == sorted(slices)


def test_more_than_a_pool_of_items_is_still_each_item_once_and_nearly_without_pads():
    lengths = np.random.default_rng(0).integers(1, 60, 1001).tolist()
    batches = length_bucketed(lengths, 4, seed=1)

    assert positions(batches) == list(range(1001))
    # six pools of 200 at most: only the last batch of the last one is not full
    assert sorted(map(len, batches)) == [1] + [4] * 250
    assert max(max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches) <= 10


def test_batches_come_in_random_order_that_follows_the_seed():
    lengths = list(range(400))
    batches = length_bucketed(lengths, 8, seed=3)

    assert batches == length_bucketed(lengths, 8, seed=3)
    assert batches != length_bucketed(lengths, 8, seed=4)
    firsts = [min(batch) for batch in batches]
    assert firsts != sorted(firsts)


# batches within a budget


def greedy(costs, budget, max_items):
    """Fill batches with the cheapest items first, by trying whether one more item fits."""
    batches, batch = [], []
    for cost in sorted(costs):
        larger = [*batch, cost]
        fits = len(larger) * max(larger) <= budget and (max_items is None or len(larger) <= max_items)
        if batch and not fits:
            batches.append(batch)
            larger = [cost]
        batch = larger
    return [*batches, batch]


@given(
    costs=st.lists(st.integers(1, 40), min_size=1, max_size=50),
    budget=st.integers(1, 200),
    max_items=st.none() | st.integers(1, 6),
    seed=st.integers(0, 100),
)
@few
def test_batches_of_one_pool_are_filled_from_the_cheapest_item_on(costs, budget, max_items, seed):
    batches = budgeted(costs, budget=budget, max_items=max_items, seed=seed, epoch=0)

    assert positions(batches) == list(range(len(costs)))
    assert of_batches(costs, batches) == sorted(greedy(costs, budget, max_items))


def test_each_example_once_and_no_batch_over_budget():
    costs = np.random.default_rng(0).integers(3, 60, 500).tolist()
    batches = budgeted(costs, budget=256, max_items=None, seed=1, epoch=0)
    assert positions(batches) == list(range(500))
    assert all(len(batch) * max(costs[i] for i in batch) <= 256 for batch in batches)
    pads = 1 - sum(costs) / sum(len(batch) * max(costs[i] for i in batch) for batch in batches)
    assert pads < 0.1


def test_a_batch_may_cost_exactly_the_budget():
    assert list(map(len, budgeted([10] * 6, budget=30, max_items=None, seed=0, epoch=0))) == [3, 3]


def test_an_example_over_budget_is_alone():
    batches = budgeted([10, 500, 10], budget=100, max_items=None, seed=0, epoch=0)
    assert sorted(map(len, batches)) == [1, 2]


def test_at_most_so_many_examples():
    assert max(map(len, budgeted([1] * 50, budget=1000, max_items=8, seed=0, epoch=0))) == 8


def test_the_order_follows_seed_and_epoch():
    costs = list(range(1, 200))
    options = {"budget": 300, "max_items": None}
    same = [budgeted(costs, **options, seed=3, epoch=2) for _ in range(2)]
    assert same[0] == same[1]
    assert budgeted(costs, **options, seed=3, epoch=3) != same[0]
    assert budgeted(costs, **options, seed=4, epoch=2) != same[0]
    first_costs = [costs[batch[0]] for batch in same[0]]
    assert first_costs != sorted(first_costs)


# balanced draws


def fractions(cells, drawn):
    """Fraction of the draws in each cell."""
    counts = Counter(cells[position] for position in drawn)
    return {cell: counts[cell] / len(drawn) for cell in set(cells)}


def test_each_group_and_class_is_drawn_equally_often_and_each_item_of_it():
    sizes = {("a", 0): 40, ("a", 1): 20, ("b", 0): 20, ("b", 1): 20}
    cells = [cell for cell, size in sizes.items() for _ in range(size)]
    groups, labels = zip(*cells, strict=True)

    drawn = balanced_draws(labels, groups, 40_000, seed=0)

    for fraction in fractions(cells, drawn).values():
        assert fraction == pytest.approx(0.25, abs=0.01)
    # within the largest cell no item is preferred: 250 draws each, and 5 standard deviations
    counts = Counter(drawn)
    assert all(abs(counts[position] - 250) < 5 * 250**0.5 for position in range(40))


def test_items_of_a_rare_cell_weigh_at_most_four_times_the_mean():
    sizes = {("a", 0): 989, ("a", 1): 1, ("b", 0): 10}
    cells = [cell for cell, size in sizes.items() for _ in range(size)]
    groups, labels = zip(*cells, strict=True)

    found = fractions(cells, balanced_draws(labels, groups, 100_000, seed=0))

    # by hand: 3 cells and 1000 items, so that a cell of n items sums to min(1, n * 4 * 3 / 1000)
    sums = {("a", 0): 1.0, ("a", 1): 0.012, ("b", 0): 0.12}
    for cell, fraction in found.items():
        assert fraction == pytest.approx(sums[cell] / 1.132, abs=0.002)


def test_draws_follow_the_seed():
    labels, groups = [0, 1] * 50, ["a"] * 100
    drawn = balanced_draws(labels, groups, 200, seed=5)

    assert len(drawn) == 200
    assert drawn == balanced_draws(labels, groups, 200, seed=5)
    assert drawn != balanced_draws(labels, groups, 200, seed=6)
