import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from mister_e.errors import InputError
from mister_e.model import MixtureOutput, expert_presence
from mister_e.training.losses import (
    LossConfig,
    expert_consistency,
    focal_loss,
    mixture_loss,
    supervised_contrastive_loss,
)

CLASSES = 4
few = settings(max_examples=20, deadline=None)


def random_turns(seed, batch=3, length=5):
    """Labels with some unlabelled turns, prefix masks, and which modalities are present."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, CLASSES, (batch, length), generator=random)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=random)
    mask = torch.arange(length) < lengths
    kind = torch.randint(0, 3, (batch, length), generator=random)
    return random, labels, mask, kind != 0, kind != 1


def normal(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64)


# focal loss


@given(seed=st.integers(0, 2**16), smoothing=st.sampled_from([0.0, 0.2]), weighted=st.booleans())
@few
def test_focal_without_gamma_is_cross_entropy(seed, smoothing, weighted):
    random, labels, mask, _, _ = random_turns(seed)
    chosen = mask & (labels >= 0)
    assume(chosen.any())
    logits = normal(random, 3, 5, CLASSES)
    weights = torch.rand(CLASSES, generator=random).double() + 0.1 if weighted else None

    loss = focal_loss(logits, labels, mask=mask, gamma=0, class_weights=weights, label_smoothing=smoothing)

    expected = F.cross_entropy(logits[chosen], labels[chosen], weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)


@given(seed=st.integers(0, 2**16), gamma=st.floats(0.1, 5))
@few
def test_focal_is_its_formula_turn_by_turn(seed, gamma):
    random, labels, mask, _, _ = random_turns(seed)
    logits = normal(random, 3, 5, CLASSES)
    terms = []
    for turn, label, real in zip(logits.flatten(0, 1), labels.flatten(), mask.flatten(), strict=True):
        if real and label >= 0:
            p = math.exp(turn[label]) / sum(math.exp(score) for score in turn)
            terms.append(-((1 - p) ** gamma) * math.log(p))

    loss = focal_loss(logits, labels, mask=mask, gamma=gamma)

    assert loss.item() == pytest.approx(sum(terms) / max(len(terms), 1))


@pytest.mark.parametrize("gamma", [0, 0.5, 3])
def test_focal_is_finite_for_certain_and_for_hopeless_turns(gamma):
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)

    loss = focal_loss(logits, torch.tensor([0, 0]), mask=torch.tensor([True, True]), gamma=gamma)
    loss.backward()

    assert loss.item() == pytest.approx(5e3)
    assert logits.grad.isfinite().all()


def test_half_precision_is_raised_and_double_stays():
    labels, mask = torch.tensor([0]), torch.tensor([True])

    half = focal_loss(torch.tensor([[20.0, -20.0]]).half(), labels, mask=mask, gamma=2)
    double = focal_loss(torch.tensor([[20.0, -20.0]]).double(), labels, mask=mask, gamma=2)

    assert (half.dtype, double.dtype) == (torch.float32, torch.float64)
    assert half.isfinite()


# supervised contrastive loss


def contrast_by_hand(views, temperature):
    """The loss over (vector, class) views by a double loop over anchors and positives."""
    units = [(vector / vector.norm(), label) for vector, label in views]
    terms = []
    for i, (anchor, label) in enumerate(units):
        others = [(vector, other) for j, (vector, other) in enumerate(units) if j != i]
        total = sum(math.exp(anchor @ vector / temperature) for vector, _ in others)
        gains = [
            math.log(math.exp(anchor @ vector / temperature) / total)
            for vector, other in others
            if other == label
        ]
        if gains:
            terms.append(-sum(gains) / len(gains))
    return sum(terms) / max(len(terms), 1)


@given(seed=st.integers(0, 2**16), temperature=st.sampled_from([0.1, 1.0, 3.0]))
@few
def test_contrastive_is_a_double_loop_over_present_labelled_views(seed, temperature):
    random, labels, mask, has_speech, has_text = random_turns(seed)
    speech, text = normal(random, 3, 5, 6), normal(random, 3, 5, 6)
    views = [
        (vectors[place], labels[place].item())
        for vectors, present in ((speech, has_speech), (text, has_text))
        for place in map(tuple, (mask & present & (labels >= 0)).nonzero().tolist())
    ]
    speech[~(mask & has_speech)], text[~(mask & has_text)] = torch.nan, torch.nan

    loss = supervised_contrastive_loss(
        speech,
        text,
        labels,
        mask=mask,
        has_speech=has_speech,
        has_text=has_text,
        temperature=temperature,
    )

    assert loss.item() == pytest.approx(contrast_by_hand(views, temperature))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrastive_is_that_of_pytorch_metric_learning(temperature):
    metric_losses = pytest.importorskip("pytorch_metric_learning.losses")
    random, labels, mask, has_speech, has_text = random_turns(seed=3, batch=6)
    speech, text = normal(random, 6, 5, 6), normal(random, 6, 5, 6)
    spoken, written = (mask & present & (labels >= 0) for present in (has_speech, has_text))
    views, classes = torch.cat([speech[spoken], text[written]]), torch.cat([labels[spoken], labels[written]])

    loss = supervised_contrastive_loss(
        speech,
        text,
        labels,
        mask=mask,
        has_speech=has_speech,
        has_text=has_text,
        temperature=temperature,
    )

    torch.testing.assert_close(loss, metric_losses.SupConLoss(temperature=temperature)(views, classes))


def test_contrastive_gradient_is_finite_and_zero_at_pads_and_absent_views():
    random, labels, mask, has_speech, has_text = random_turns(seed=4)
    speech, text = (normal(random, 3, 5, 6).requires_grad_() for _ in range(2))

    supervised_contrastive_loss(
        speech, text, labels, mask=mask, has_speech=has_speech, has_text=has_text
    ).backward()

    for view, present in ((speech, has_speech), (text, has_text)):
        assert view.grad.isfinite().all()
        assert (view.grad[~(mask & present & (labels >= 0))] == 0).all()
        assert (view.grad[mask & present & (labels >= 0)] != 0).any()


# consistency of the experts


@given(seed=st.integers(0, 2**16))
@few
def test_consistency_is_the_symmetric_divergence_of_present_pairs(seed):
    random, _, mask, _, _ = random_turns(seed)
    experts = normal(random, 3, 5, 3, CLASSES)
    present = torch.rand(3, 5, 3, generator=random) < 0.7
    turns = []
    for place in map(tuple, mask.nonzero().tolist()):
        distributions = [
            torch.distributions.Categorical(logits=experts[place][e]) for e in range(3) if present[place][e]
        ]
        pairs = [
            (torch.distributions.kl_divergence(p, q) + torch.distributions.kl_divergence(q, p)).item()
            for i, p in enumerate(distributions)
            for q in distributions[i + 1 :]
        ]
        if pairs:
            turns.append(sum(pairs) / len(pairs))
    judged = present & mask[..., None]
    experts[~judged] = torch.nan
    experts.requires_grad_()

    loss = expert_consistency(experts, mask=mask, present=present)
    loss.backward()

    assert loss.item() == pytest.approx(sum(turns) / max(len(turns), 1))
    assert experts.grad.isfinite().all()
    assert (experts.grad[~judged] == 0).all()


def test_experts_that_agree_have_nothing_to_mend():
    experts = torch.randn(2, 3, 1, CLASSES).expand(-1, -1, 3, -1)

    loss = expert_consistency(
        experts, mask=torch.ones(2, 3, dtype=torch.bool), present=torch.ones(2, 3, 3, dtype=torch.bool)
    )

    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_consistency_does_not_grow_with_the_conversation():
    experts = torch.randn(1, 10, 3, CLASSES, dtype=torch.float64)
    longer = experts.repeat(1, 10, 1, 1)

    short, long = (
        expert_consistency(
            turns, mask=torch.ones(turns.shape[:2]).bool(), present=torch.ones(turns.shape[:3]).bool()
        )
        for turns in (experts, longer)
    )

    torch.testing.assert_close(short, long)


def test_consistency_is_finite_where_half_precision_would_overflow():
    experts = torch.tensor([[[[3e4, -3e4], [-3e4, 3e4], [0.0, 0.0]]]]).half().requires_grad_()

    loss = expert_consistency(experts, mask=torch.ones(1, 1).bool(), present=torch.ones(1, 1, 3).bool())
    loss.backward()

    assert loss.isfinite()
    assert experts.grad.isfinite().all()


# the whole


def random_output(random, has_speech, has_text, batch=3, length=5):
    return MixtureOutput(
        present=expert_presence(has_speech, has_text),
        logits=normal(random, batch, length, CLASSES).requires_grad_(),
        experts=normal(random, batch, length, 3, CLASSES).requires_grad_(),
        gate=normal(random, batch, length, 3).softmax(-1),
        speech_hidden=normal(random, batch, length, 6).requires_grad_(),
        text_hidden=normal(random, batch, length, 6).requires_grad_(),
    )


@given(seed=st.integers(0, 2**16))
@few
def test_the_whole_is_the_sum_of_its_parts(seed):
    random, labels, mask, has_speech, has_text = random_turns(seed)
    output = random_output(random, has_speech, has_text)
    present = [has_speech, has_text, has_speech & has_text]

    loss = mixture_loss(
        output,
        labels,
        mask=mask,
        weights=LossConfig(gamma=2, contrastive=0.7, consistency=0.3, class_weights=(1.0, 2.0, 3.0, 0.5)),
    )

    options = {"gamma": 2, "class_weights": torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)}
    focal = [focal_loss(output.logits, labels, mask=mask, **options)] + [
        focal_loss(output.experts[:, :, e], labels, mask=mask & present[e], **options) for e in range(3)
    ]
    contrast = supervised_contrastive_loss(
        output.speech_hidden,
        output.text_hidden,
        labels,
        mask=mask,
        has_speech=has_speech,
        has_text=has_text,
    )
    agreement = expert_consistency(output.experts, mask=mask, present=torch.stack(present, -1))
    torch.testing.assert_close(loss, sum(focal) + 0.7 * contrast + 0.3 * agreement)


def classified_turns(output, labels, mask):
    """Logits of a classifier, true label, of each labelled turn of the mixture and of each expert."""
    classifiers = [(output.logits, output.present.any(-1))]
    classifiers += [(output.experts[:, :, e], output.present[:, :, e]) for e in range(3)]
    return [
        [
            (logits[place].tolist(), labels[place].item())
            for place in map(tuple, (mask & present & (labels >= 0)).nonzero().tolist())
        ]
        for logits, present in classifiers
    ]


def log_probabilities(logits):
    total = math.log(sum(math.exp(score) for score in logits))
    return [score - total for score in logits]


@given(seed=st.integers(0, 2**16), smoothing=st.sampled_from([0.1, 0.5]), gamma=st.sampled_from([0.0, 2.0]))
@few
def test_label_smoothing_reaches_the_loss_of_the_mixture_and_of_each_expert(seed, smoothing, gamma):
    random, labels, mask, has_speech, has_text = random_turns(seed)
    output = random_output(random, has_speech, has_text)
    settings = LossConfig(gamma=gamma, contrastive=0, consistency=0, label_smoothing=smoothing)

    expected = 0.0
    for turns in classified_turns(output, labels, mask):
        losses = []
        for logits, label in turns:
            log_p = log_probabilities(logits)
            target = [smoothing / CLASSES + (1 - smoothing) * (c == label) for c in range(CLASSES)]
            entropy = -sum(q * log for q, log in zip(target, log_p, strict=True))
            losses.append((1 - math.exp(log_p[label])) ** gamma * entropy)
        expected += sum(losses) / max(len(losses), 1)

    assert mixture_loss(output, labels, mask=mask, weights=settings).item() == pytest.approx(expected)


@given(seed=st.integers(0, 2**16), gamma=st.sampled_from([0.0, 2.0]))
@few
def test_class_weights_reach_the_loss_of_the_mixture_and_of_each_expert(seed, gamma):
    random, labels, mask, has_speech, has_text = random_turns(seed)
    output = random_output(random, has_speech, has_text)
    weights = (0.5, 4.0, 1.0, 2.0)
    settings = LossConfig(gamma=gamma, contrastive=0, consistency=0, class_weights=weights)

    expected = 0.0
    for turns in classified_turns(output, labels, mask):
        total = divisor = 0.0
        for logits, label in turns:
            log_p = log_probabilities(logits)[label]
            total -= weights[label] * (1 - math.exp(log_p)) ** gamma * log_p
            divisor += weights[label]
        expected += total / (divisor or 1)

    assert mixture_loss(output, labels, mask=mask, weights=settings).item() == pytest.approx(expected)


@given(seed=st.integers(0, 2**16), temperature=st.sampled_from([0.2, 2.0]))
@few
def test_the_contrastive_temperature_and_weight_reach_the_loss(seed, temperature):
    random, labels, mask, has_speech, has_text = random_turns(seed)
    output = random_output(random, has_speech, has_text)
    chosen = mask & (labels >= 0)
    views = [
        (vectors[place].detach(), labels[place].item())
        for vectors, present in ((output.speech_hidden, has_speech), (output.text_hidden, has_text))
        for place in map(tuple, (chosen & present).nonzero().tolist())
    ]
    without, with_contrast = (
        mixture_loss(
            output, labels, mask=mask, weights=LossConfig(contrastive=weight, temperature=temperature)
        )
        for weight in (0, 0.6)
    )

    contrast = (with_contrast - without).item()
    assert contrast == pytest.approx(0.6 * contrast_by_hand(views, temperature), abs=1e-9)


def test_class_weights_that_were_not_resolved_are_refused():
    random, labels, mask, has_speech, has_text = random_turns(seed=6)
    output = random_output(random, has_speech, has_text)

    with pytest.raises(ValueError, match=r"LossConfig\.resolve"):
        mixture_loss(output, labels, mask=mask, weights=LossConfig(class_weights="balanced"))


def test_balanced_class_weights_are_those_of_scikit_learn():
    labels = np.array([0] * 7 + [1] * 2 + [2] * 30 + [3])
    counts = np.bincount(labels)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)

    assert LossConfig(class_weights="balanced").resolve(counts).class_weights == pytest.approx(expected)
    softer = LossConfig(class_weights=0.35).resolve(counts).class_weights
    assert softer == pytest.approx(expected**0.35)
    assert LossConfig().resolve(counts).class_weights is None
    assert LossConfig(class_weights=(1, 2, 3, 4)).resolve(counts).class_weights == (1, 2, 3, 4)


def test_a_class_without_training_turns_weighs_nothing():
    counts = np.array([4, 0, 2])

    assert LossConfig().resolve(counts).class_weights == (1, 0, 1)
    assert LossConfig(class_weights="balanced").resolve(counts).class_weights == pytest.approx((0.5, 0, 1))
    with pytest.raises(InputError, match="2 weights, but there are 3 classes"):
        LossConfig(class_weights=(1, 2)).resolve(counts)


def test_nothing_to_learn_from_is_zero_with_a_gradient():
    random, labels, mask, has_speech, _ = random_turns(seed=5)
    output = random_output(random, has_speech, ~has_speech)

    loss = mixture_loss(
        output,
        torch.full_like(labels, -1),
        mask=mask,
        weights=LossConfig(),
    )
    loss.backward()

    assert loss.item() == 0
    for tensor in (output.logits, output.experts, output.speech_hidden, output.text_hidden):
        assert (tensor.grad == 0).all()


@pytest.mark.parametrize(
    ("field", "value"), [("gamma", -1), ("contrastive", math.nan), ("consistency", -0.1), ("temperature", 0)]
)
def test_weights_that_mean_nothing_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        LossConfig(**{field: value})
