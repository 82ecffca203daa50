import numpy as np

from mister_e.training.batching import budgeted


def test_each_example_once_and_no_batch_over_budget():
    costs = np.random.default_rng(0).integers(3, 60, 500).tolist()
    batches = budgeted(costs, budget=256, most=None, seed=1, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    assert all(len(batch) * max(costs[i] for i in batch) <= 256 for batch in batches)
    pads = 1 - sum(costs) / sum(len(batch) * max(costs[i] for i in batch) for batch in batches)
    assert pads < 0.1


def test_an_example_over_budget_is_alone():
    assert sorted(map(len, budgeted([10, 500, 10], budget=100, most=None, seed=0, epoch=0))) == [1, 2]


def test_at_most_so_many_examples():
    assert max(map(len, budgeted([1] * 50, budget=1000, most=8, seed=0, epoch=0))) == 8


def test_the_order_follows_seed_and_epoch():
    costs = list(range(1, 200))
    settings = {"budget": 300, "most": None}
    same = [budgeted(costs, **settings, seed=3, epoch=2) for _ in range(2)]
    assert same[0] == same[1]
    assert budgeted(costs, **settings, seed=3, epoch=3) != same[0]
    assert budgeted(costs, **settings, seed=4, epoch=2) != same[0]
