"""Small conversations with turns that lack a modality or a label, and ways to batch them."""

from dataclasses import dataclass, fields

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.training.losses import LossConfig, mixture_loss

few = settings(max_examples=15, deadline=None)

SMALL = MixtureConfig(
    classes=4,
    text_dim=6,
    speech_dim=5,
    hidden=8,
    gru_layers=2,
    gru_hidden=4,
    fusion_dim=8,
    fusion_blocks=2,
    attention_dim=6,
    attention_heads=3,
    dropout=0.0,
    head_dropout=0.0,
    gate_hidden=5,
)


@dataclass
class Turns:
    """One conversation `[T, ...]`, or a padded batch of them `[B, T, ...]`."""

    text: Tensor
    speech: Tensor
    has_text: Tensor
    has_speech: Tensor
    labels: Tensor
    mask: Tensor

    @property
    def inputs(self):
        return {name: getattr(self, name) for name in ("text", "speech", "mask", "has_text", "has_speech")}


def conversation(presence, labels, seed):
    """`presence` is a string with one of "b" (both), "s" (speech alone), "t" (text alone) a turn."""
    random = torch.Generator().manual_seed(seed)
    length = len(presence)
    return Turns(
        text=torch.randn(length, SMALL.text_dim, generator=random, dtype=torch.float64),
        speech=torch.randn(length, SMALL.speech_dim, generator=random, dtype=torch.float64),
        has_text=torch.tensor([turn in "bt" for turn in presence]),
        has_speech=torch.tensor([turn in "bs" for turn in presence]),
        labels=torch.tensor(labels),
        mask=torch.ones(length, dtype=torch.bool),
    )


@st.composite
def conversations(draw, min_size=1, max_size=4):
    """Draw a list of conversations of 1 to 7 turns."""
    made = []
    for _ in range(draw(st.integers(min_size, max_size))):
        presence = draw(st.text("bst", min_size=1, max_size=7))
        classes = st.integers(-1, SMALL.classes - 1)
        labels = draw(st.lists(classes, min_size=len(presence), max_size=len(presence)))
        made.append(conversation(presence, labels, draw(st.integers(0, 2**16))))
    return made


def batch(parts, extra_pads=0, garbage=0.0):
    """Pad conversations to the longest and `extra_pads` more; `garbage` stands in the embeddings there."""
    length = max(len(part.mask) for part in parts) + extra_pads

    def pad(name, part):
        turns = getattr(part, name)
        value = garbage if turns.is_floating_point() else turns.new_zeros(()).item()
        return torch.cat([turns, turns.new_full((length - len(turns), *turns.shape[1:]), value)])

    return Turns(**{f.name: torch.stack([pad(f.name, part) for part in parts]) for f in fields(Turns)})


def small_model(**changes):
    """Make a small mixture in double precision whose learned embeddings are of the size of real ones."""
    torch.manual_seed(0)
    model = MisterE(SMALL.model_copy(update=changes)).double()
    for name, embedding in model.named_parameters():
        if name.startswith("missing"):
            torch.nn.init.normal_(embedding)
    return model


def gradients(model, loss):
    """Gradient of each parameter; zeros where the loss does not depend on it."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def training_loss(model, turns):
    """The whole loss of a batch, its parts weighed so that each one shows."""
    output = model(**turns.inputs)
    return mixture_loss(output, turns.labels, mask=turns.mask, weights=LossConfig(consistency=1.0))
