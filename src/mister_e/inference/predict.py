"""What a mixture says of stored conversations: whole, live, or with one modality alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mister_e.encoders.conversations import StoredConversation, select_turns
from mister_e.errors import InputError
from mister_e.inference.batch import fill_missing, only_needed, pad, run
from mister_e.inference.predictions import Predictions
from mister_e.model.mixture import MisterE
from mister_e.model.windows import Window
from mister_e.progress import Progress, silent

Mode = Literal["full", "past-only", "text-only", "speech-only"]
MODES: tuple[Mode, ...] = ("full", "past-only", "text-only", "speech-only")

#: Real turns in a batch, about: what bounds the memory.
BATCH_TURNS = 2048


class Piece(NamedTuple):
    """Turns of a conversation that are read together; from one on they are predicted.

    :param conversation: its place.
    :param first: the first turn that is read.
    :param last: the turn after the last.
    :param predicted: the first turn that is predicted.
    """

    conversation: int
    first: int
    last: int
    predicted: int


@torch.inference_mode()
def predict(
    mixture: MisterE,
    conversations: Sequence[StoredConversation],
    *,
    mode: Mode = "full",
    window: int | None = None,
    overlap: int | None = None,
    batch_turns: int = BATCH_TURNS,
    progress: Progress = silent,
) -> Predictions:
    """Judge every turn; the same whatever conversations come together.

    :param mixture: the experts and their gate.
    :param conversations: with the embeddings that the model was trained on.
    :param mode: "full" = each turn in its whole conversation; "past-only" = from the turns up to it,
        as live use does; "text-only" and "speech-only" = as if the other modality had not been there.
    :param window: a conversation with more turns than this is read in overlapping windows by the speech
        and text experts, and live use looks back no further. None = 1024.
    :param overlap: turns at each end of a window that are context alone; None = an eighth of it.
    :param batch_turns: turns in a batch, about.
    :param progress: told of turns, as stage "predict".
    :return: of all turns; one with neither text nor speech is not predicted.
    :raises InputError: there is no such mode, the embeddings are of another width, or the window is
        no wider than its two overlaps.
    """
    model = mixture
    if mode not in MODES:
        raise InputError(f"there is no mode {mode!r}: the modes are {', '.join(MODES)}")
    width = window or Window().turns
    cut = Window(width, width // 8 if overlap is None else overlap)
    shown = [only_needed(_mask_modality(conversation, mode), model.config) for conversation in conversations]
    places = [(conversation.has_text | conversation.has_speech).nonzero().flatten() for conversation in shown]
    usable = [
        fill_missing(select_turns(conversation, turns), model.config)
        for conversation, turns in zip(shown, places, strict=True)
    ]
    results = _Results(model, shown)
    training, device = model.training, next(model.parameters()).device
    model.eval()
    done, whole = 0, sum(map(len, usable))
    for pieces in _batches(_pieces(usable, mode, cut), batch_turns):
        read = [
            select_turns(usable[piece.conversation], torch.arange(piece.first, piece.last))
            for piece in pieces
        ]
        output = run(model, pad(read).to(device), cut)
        for row, piece in enumerate(pieces):
            wanted = slice(piece.predicted - piece.first, piece.last - piece.first)
            results.put(piece, places[piece.conversation], output, row, wanted)
        done += sum(piece.last - piece.predicted for piece in pieces)
        progress("predict", done, whole)
    model.train(training)
    return results.predictions()


class _Results:
    """Where the outputs of batches come together."""

    def __init__(self, model: MisterE, conversations: Sequence[StoredConversation]) -> None:
        self.conversations, self.weighs = conversations, model.config.gate != "concatenation"
        self.starts = [0, *accumulate(map(len, conversations))]
        turns, classes = self.starts[-1], model.config.classes
        self.logits = np.zeros((turns, classes), np.float32)
        self.experts = np.zeros((turns, 3, classes), np.float32)
        self.gate = np.zeros((turns, 3), np.float32)
        self.present = np.zeros((turns, 3), np.bool_)

    def put(self, piece: Piece, places: Tensor, output: object, row: int, wanted: slice) -> None:
        """Keep the outputs of the predicted turns of a piece."""
        where = self.starts[piece.conversation] + places[piece.predicted : piece.last].numpy()
        for name in ("logits", "experts", "gate", "present"):
            getattr(self, name)[where] = getattr(output, name)[row, wanted].cpu().numpy()

    def predictions(self) -> Predictions:
        """All of them."""
        labels = [conversation.labels for conversation in self.conversations]
        lengths = [len(conversation) for conversation in self.conversations]
        return Predictions(
            ids=tuple(turn for conversation in self.conversations for turn in conversation.ids),
            conversations=np.repeat(np.arange(len(lengths)), lengths),
            conversation_ids=tuple(conversation.id for conversation in self.conversations),
            labels=torch.cat(labels).numpy() if labels else np.zeros(0, np.int64),
            logits=self.logits,
            predicted=np.asarray(self.present.any(1)),
            experts=self.experts,
            present=self.present,
            gate=self.gate if self.weighs else None,
            shown=np.concatenate(
                [
                    np.zeros((0, 2), np.bool_),
                    *(
                        torch.stack([conversation.has_text, conversation.has_speech], -1).numpy()
                        for conversation in self.conversations
                    ),
                ]
            ),
        )


def _mask_modality(conversation: StoredConversation, mode: Mode) -> StoredConversation:
    """Hide the modality that a mode does without."""
    if mode == "text-only":
        return replace(conversation, has_speech=torch.zeros_like(conversation.has_speech))
    if mode == "speech-only":
        return replace(conversation, has_text=torch.zeros_like(conversation.has_text))
    return conversation


def _pieces(conversations: Sequence[StoredConversation], mode: Mode, cut: Window) -> Iterator[Piece]:
    """What is read together."""
    for number, conversation in enumerate(conversations):
        if mode == "past-only":
            for turn in range(len(conversation)):
                yield Piece(number, max(0, turn + 1 - cut.turns), turn + 1, turn)
        elif len(conversation):
            yield Piece(number, 0, len(conversation), 0)


def _batches(pieces: Iterator[Piece], turns: int) -> Iterator[list[Piece]]:
    """Pieces that together have about so many turns, or one that has more."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        length = piece.last - piece.first
        if batch and size + length > turns:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += length
    if batch:
        yield batch
