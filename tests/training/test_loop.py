"""The training loop on a model small enough to do the same sums by hand."""

import json
import math

import pytest
import torch
from torch import nn

from mister_e.training.loop import SCORE, Loop
from mister_e.training.settings import LoopSettings
from mister_e.training.weight_averaging import WeightAverage

ROWS = 8


class LeastSquares:
    """A task: a linear model in double precision, plain gradient descent, and a score for each epoch.

    A row weighs what `row_weights` says; the loss of a batch is its weighted mean.
    """

    name = "toy"

    def __init__(self, batches=([0, 1, 2, 3], [4, 5, 6, 7]), scores=(), row_weights=(1.0,) * ROWS, scale=1.0):
        random = torch.Generator().manual_seed(0)
        self.x = torch.randn(ROWS, 3, generator=random, dtype=torch.float64)
        self.y = torch.randn(ROWS, 1, generator=random, dtype=torch.float64)
        self.model = nn.Linear(3, 1, dtype=torch.float64)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(0.5)
        self.row_weights = torch.tensor(row_weights, dtype=torch.float64)
        self.plan, self.scores, self.scale = [list(batch) for batch in batches], scores, scale
        self.epoch = 0
        #: The weights that were validated, one entry an epoch, and those after each step.
        self.validated, self.after_step = [], []

    def optimizer(self):
        groups = [
            {"params": [self.model.weight], "scale": 1.0},
            {"params": [self.model.bias], "scale": self.scale},
        ]
        return torch.optim.SGD(groups, 0.0)

    def batches(self, epoch):
        self.epoch = epoch
        return self.plan

    def batch_weight(self, batch):
        return float(self.row_weights[list(batch)].sum())

    def loss(self, model, batch, device, rng_key):
        weights = self.row_weights[list(batch)].to(device)
        errors = (model(self.x[list(batch)].to(device)) - self.y[list(batch)].to(device)).squeeze(1).square()
        return (weights * errors).sum() / weights.sum().clamp(min=1e-300)

    def weights(self):
        return self.model.state_dict()

    def load(self, weights):
        self.model.load_state_dict(weights)

    def validate(self, accelerator):
        self.validated.append(copied(self))
        return {SCORE: float(self.scores[self.epoch]) if self.scores else float(self.epoch)}

    def record(self, stage, done, total):
        """As a progress hook, keep the weights after each step."""
        self.after_step.append(copied(self))


class Slope(LeastSquares):
    """The same, with the sum of all parameters as the loss: every gradient is 1."""

    def loss(self, model, batch, device, rng_key):
        return model.weight.sum() + model.bias.sum()


def copied(task):
    return {name: value.detach().cpu().clone() for name, value in task.weights().items()}


def settings(**changes):
    plain = {"epochs": 1, "learning_rate": 0.1, "schedule": "constant", "warmup": 0.0, "max_grad_norm": 1e9}
    return LoopSettings(**{**plain, "trackers": (), **changes})


def steps(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "step" in row]


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value.cpu(), other[name].cpu(), atol=1e-12, rtol=1e-9)


# when it stops, and what it keeps


@pytest.mark.parametrize(
    ("scores", "patience", "epochs", "best"),
    [
        ((50, 60, 55, 59, 58, 70), None, 6, 5),
        ((50, 60, 55, 59, 58, 70), 3, 5, 1),
        ((50, 60, 55, 59, 58, 70), 4, 6, 5),
        ((50, 50, 50, 50), 2, 3, 0),  # an equal score is no better one
        ((10, 20, 30, 40), 1, 4, 3),
        ((40, 30, 20, 10), 1, 2, 0),
    ],
)
def test_it_waits_for_a_better_epoch_as_long_as_patience_says(tmp_path, scores, patience, epochs, best):
    task = LeastSquares(scores=scores)
    done = Loop(task, settings(epochs=len(scores), patience=patience), tmp_path).fit()
    assert [row[SCORE] for row in done.history] == list(scores[:epochs])
    assert done.best_epoch == best
    assert done.validation_weighted_f1 == scores[best]
    assert_same_weights(copied(task), task.validated[best])


def test_a_run_that_patience_ended_is_finished(tmp_path):
    first = Loop(LeastSquares(scores=(3, 2, 1)), settings(epochs=3, patience=1), tmp_path).fit()
    again = LeastSquares(scores=(3, 2, 1))
    assert Loop(again, settings(epochs=3, patience=1), tmp_path).fit() == first
    assert len(first.history) == 2
    assert again.validated == []


@pytest.mark.parametrize("checkpoint_every", [1, 100])
def test_the_best_epoch_before_a_kill_is_kept_after_resuming(tmp_path, checkpoint_every):
    scores, wanted = (50, 90, 60, 70), settings(epochs=4, checkpoint_every=checkpoint_every)
    whole = LeastSquares(scores=scores)
    expected = Loop(whole, wanted, tmp_path / "whole").fit()

    class Killed(BaseException):
        pass

    def kill(stage, done, total):
        if done == 6:  # in the third epoch
            raise Killed

    with pytest.raises(Killed):
        Loop(LeastSquares(scores=scores), wanted, tmp_path / "killed").fit(kill)
    resumed = LeastSquares(scores=scores)
    assert Loop(resumed, wanted, tmp_path / "killed").fit() == expected
    assert expected.best_epoch == 1
    assert len(resumed.validated) == 2  # the first two epochs were not done again
    assert_same_weights(copied(resumed), copied(whole))
    assert_same_weights(copied(resumed), whole.validated[1])


# one step


@pytest.mark.parametrize("row_weights", [(1.0,) * ROWS, (1.0, 5.0, 0.5, 0.0, 2.0, 1.0, 3.0, 0.25)])
@pytest.mark.parametrize("batches", [([0, 1, 2, 3, 4], [5, 6], [7]), ([3], [0, 1, 2, 4, 5, 6, 7])])
def test_accumulated_batches_are_one_big_batch(tmp_path, batches, row_weights):
    parts = LeastSquares(batches, row_weights=row_weights)
    Loop(parts, settings(gradient_accumulation=3), tmp_path / "parts").fit()
    whole = LeastSquares([list(range(ROWS))], row_weights=row_weights)
    Loop(whole, settings(), tmp_path / "whole").fit()
    assert_same_weights(copied(parts), copied(whole))
    (one,), (other,) = steps(tmp_path / "parts"), steps(tmp_path / "whole")
    assert one["loss"] == pytest.approx(other["loss"])
    assert one["gradient_norm"] == pytest.approx(other["gradient_norm"])


def test_a_step_of_batches_that_weigh_nothing_changes_nothing(tmp_path):
    task = LeastSquares([[3], [3]], row_weights=(1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0))
    before = copied(task)
    Loop(task, settings(gradient_accumulation=2), tmp_path).fit()
    assert_same_weights(copied(task), before)
    assert steps(tmp_path)[0]["loss"] == 0


def test_the_last_step_of_an_epoch_takes_what_is_left(tmp_path):
    task = LeastSquares([[i] for i in range(5)])
    done = Loop(task, settings(epochs=2, gradient_accumulation=2), tmp_path).fit()
    assert [(row["epoch"], row["step"]) for row in steps(tmp_path)] == [
        (epoch, step) for epoch, step in zip((0, 0, 0, 1, 1, 1), range(1, 7), strict=True)
    ]
    losses = [row["loss"] for row in steps(tmp_path)]
    assert done.history[1]["train_loss"] == pytest.approx(sum(losses[3:]) / 3)


def test_a_step_is_that_of_plain_code(tmp_path):
    task, other = LeastSquares([[0, 1, 2]]), LeastSquares([[0, 1, 2]])
    Loop(task, settings(learning_rate=0.2, warmup=0.5, epochs=2), tmp_path).fit(task.record)
    loss = other.loss(other.model, [0, 1, 2], "cpu", ())
    loss.backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in other.model.parameters()))
    rate = 0.2 / 2  # the one step of the warm-up
    expected = {name: (p - rate * p.grad).detach() for name, p in other.model.named_parameters()}
    assert_same_weights(task.after_step[0], expected)
    first = steps(tmp_path)[0]
    assert (first["loss"], first["gradient_norm"]) == pytest.approx((float(loss.detach()), norm))


@pytest.mark.parametrize(("clip", "factor"), [(0.5, 0.5 / 2), (2.5, 1.0)])
def test_the_gradient_is_clipped_to_max_grad_norm(tmp_path, clip, factor):
    task = Slope([[0]])  # four gradients of 1: their norm is 2
    before = copied(task)
    Loop(task, settings(max_grad_norm=clip, epochs=2), tmp_path).fit(task.record)
    rate = steps(tmp_path)[1]["learning_rate"]
    for name, value in task.after_step[1].items():
        moved = task.after_step[0][name] - value
        torch.testing.assert_close(moved, torch.full_like(moved, rate * factor), atol=1e-6, rtol=1e-6)
    assert steps(tmp_path)[0]["gradient_norm"] == pytest.approx(2)  # before clipping
    assert not torch.equal(before["weight"], task.after_step[0]["weight"])


# the learning rate

#: Of 20 steps, 4 of them warm-up: step, fraction of the highest rate.
SCHEDULES = {
    "constant": {0: 1 / 5, 3: 4 / 5, 4: 1.0, 12: 1.0, 19: 1.0},
    "linear": {0: 1 / 5, 3: 4 / 5, 4: 1.0, 8: 0.75, 12: 0.5, 19: 1 / 16},
    "cosine": {
        0: 1 / 5,
        3: 4 / 5,
        4: 1.0,
        8: (1 + math.cos(math.pi / 4)) / 2,
        12: 0.5,
        19: (1 + math.cos(math.pi * 15 / 16)) / 2,
    },
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_is_its_formula_in_the_log_and_in_the_steps(tmp_path, schedule):
    task = Slope([[0]] * 5, scale=7.0)
    start = copied(task)
    chosen = settings(epochs=4, schedule=schedule, warmup=0.2, learning_rate=0.3)
    Loop(task, chosen, tmp_path).fit(task.record)
    logged = [row["learning_rate"] for row in steps(tmp_path)]
    assert len(logged) == 20
    for step, fraction in SCHEDULES[schedule].items():
        assert logged[step] == pytest.approx(0.3 * fraction), step
    weights = [start, *task.after_step]
    for rate, before, after in zip(logged, weights[:-1], weights[1:], strict=True):
        # every gradient is 1, so that a parameter moves by its group's rate
        assert (before["weight"] - after["weight"]).tolist() == [pytest.approx([rate] * 3)]
        assert (before["bias"] - after["bias"]).tolist() == pytest.approx([7.0 * rate])


def test_the_rate_falls_over_all_epochs_and_accumulated_steps(tmp_path):
    Loop(Slope([[0]] * 5), settings(epochs=3, gradient_accumulation=2, schedule="linear"), tmp_path).fit()
    # 3 epochs of 3 steps, the first of them warm-up
    assert [row["learning_rate"] for row in steps(tmp_path)] == pytest.approx(
        [0.05, *(0.1 * left / 8 for left in range(8, 0, -1))]
    )


# averaged weights


def mean_of_steps(task, decay):
    """The averages at the ends of epochs, written out."""
    mean, found = None, []
    for step, weights in enumerate(task.after_step):
        if mean is None:
            mean = weights
        else:
            d = min(decay, (1 + step) / (10 + step))
            mean = {name: d * mean[name] + (1 - d) * value for name, value in weights.items()}
        if (step + 1) % len(task.plan) == 0:
            found.append(mean)
    return found


def mean_of_epochs(task, first):
    """Those of the last weights of epochs; before the first one, the epoch's own."""
    ends = task.after_step[len(task.plan) - 1 :: len(task.plan)]
    return [
        end
        if epoch < first
        else {name: torch.stack([e[name] for e in ends[first : epoch + 1]]).mean(0) for name in end}
        for epoch, end in enumerate(ends)
    ]


@pytest.mark.parametrize(
    ("average", "expected"),
    [
        (lambda: WeightAverage(0.6, None), lambda task: mean_of_steps(task, 0.6)),
        (lambda: WeightAverage(0.0, 1), lambda task: mean_of_epochs(task, 1)),
    ],
    ids=["ema", "average_from"],
)
def test_the_average_is_validated_and_kept_and_training_goes_on_without_it(tmp_path, average, expected):
    scores = (10, 20, 40, 30)
    plain = LeastSquares(scores=scores)
    Loop(plain, settings(epochs=4), tmp_path / "plain").fit(plain.record)
    task = LeastSquares(scores=scores)
    Loop(task, settings(epochs=4), tmp_path / "averaged", average=average()).fit(task.record)
    for own, other in zip(plain.after_step, task.after_step, strict=True):
        assert_same_weights(own, other)
    wanted = expected(task)
    for validated, mean in zip(task.validated, wanted, strict=True):
        assert_same_weights(validated, mean)
    assert_same_weights(copied(task), wanted[2])
    assert not torch.allclose(wanted[2]["weight"], task.after_step[5]["weight"])


@pytest.mark.parametrize("average", [lambda: WeightAverage(0.6, None), lambda: WeightAverage(0.0, 1)])
def test_an_average_goes_on_after_a_kill(tmp_path, average):
    whole, wanted = LeastSquares(), settings(epochs=4, checkpoint_every=1)
    Loop(whole, wanted, tmp_path / "whole", average=average()).fit()

    def kill(stage, done, total):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Loop(LeastSquares(), wanted, tmp_path / "killed", average=average()).fit(kill)
    resumed = LeastSquares()
    Loop(resumed, wanted, tmp_path / "killed", average=average()).fit()
    assert_same_weights(copied(resumed), copied(whole))
