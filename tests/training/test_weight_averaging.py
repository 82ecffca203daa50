import pytest
import torch

from mister_e.training.weight_averaging import WeightAverage


def weights(seed):
    random = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 2, generator=random), "count": torch.tensor(seed)}


def test_the_mean_over_steps_is_its_formula():
    average = WeightAverage(0.9, None)
    expected = weights(0)["w"].clone()
    for step in range(200):
        average.after_step(step, weights(step))
        if step:
            decay = min(0.9, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights(step)["w"]
    torch.testing.assert_close(average.weights["w"], expected)
    assert average.weights["count"] == 199


def test_the_mean_over_epochs_is_a_plain_one():
    average = WeightAverage(0.0, 2)
    for epoch in range(6):
        average.after_step(epoch, weights(100 + epoch))
        average.after_epoch(epoch, weights(epoch))
        assert average.used == (epoch >= 2)
    torch.testing.assert_close(
        average.weights["w"], torch.stack([weights(epoch)["w"] for epoch in (2, 3, 4, 5)]).mean(0)
    )


def test_without_averaging_nothing_is_kept():
    average = WeightAverage(0.0, None)
    average.after_step(0, weights(0))
    average.after_epoch(0, weights(0))
    assert not average.used


def test_what_is_averaged_is_a_copy():
    average, own = WeightAverage(0.5, None), weights(1)
    average.after_step(0, own)
    before = average.weights["w"].clone()
    own["w"] += 1
    assert torch.equal(average.weights["w"], before)
    assert before.sum().item() == pytest.approx(weights(1)["w"].sum().item())
