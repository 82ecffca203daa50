"""A model in use: turns with sound and words in, predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.conversation import OTHER_LANGUAGE, Conversation, Utterance, has_words
from mister_e.encoders.embed import EncodedTurn, embed_conversations, encode_speech, note_languages
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import Mode, predict
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet
from mister_e.progress import Progress, silent


@dataclass(frozen=True)
class TurnPredictions:
    """Predictions of N turns, before they are put into words.

    :param turns: the turns without their sound, conversation after conversation.
    :param predictions: of the same turns, unlabelled; a turn without words and sound is not judged.
    :param temperatures: float64 `[N, 1]`, what their logits are divided by for calibrated probabilities.
    :param notes: what of the turns was not encoded.
    """

    turns: tuple[Utterance, ...]
    predictions: Predictions
    temperatures: NDArray[np.float64]
    notes: tuple[str, ...]


class Predictor:
    """A model folder on a device, ready to predict; it knows no kind of encoder.

    :param model: with its encoders.
    :param device: where all of its networks run.
    """

    def __init__(self, model: ModelFolder, *, device: torch.device | str = "cpu") -> None:
        self.model = model
        self.text_encoder = model.encoders.get("text")
        self.speech_encoder = model.encoders.get("speech")
        for module in (*model.encoders.values(), model.mixture):
            module.eval().to(device)
        if model.voices is not None:
            model.voices.to(device)

    @property
    def labels(self) -> LabelSet:
        """The emotions that the model can tell."""
        return self.model.labels

    def predict(
        self,
        conversations: Iterable[Conversation],
        *,
        mode: Mode = "full",
        together: bool = False,
        total: int = 0,
        progress: Progress = silent,
    ) -> TurnPredictions:
        """Predict many conversations together, of whatever length.

        They are encoded in groups of turns, whatever conversation those belong to, and predicted in batches;
        the result of each is as if it had been alone. Their sound is taken as it is needed, so that a
        generator may load it.

        :param conversations: with turns cut already; a turn without sound may carry statistics of it.
        :param mode: see `mister_e.inference.predict.predict`.
        :param together: whether they are all cut from one recording, and sound is relative to that.
        :param total: turns in all, for the progress; 0 = not known.
        :param progress: told of turns, as stages "speech", "text" and "predict".
        :raises InputError: a recording cannot be read, or there is no such mode.
        """
        notes: list[str] = []
        lengths: list[tuple[str, int]] = []

        def turns() -> Iterator[Utterance]:
            for conversation in conversations:
                lengths.append((conversation.id, len(conversation)))
                for turn in conversation:
                    yield _mask_modality(turn, mode)

        encoded = []
        for turn in self.encode(turns(), notes):
            encoded.append(turn)
            progress("speech", len(encoded), total)
        rest = iter(encoded)
        grouped = [(name, list(islice(rest, length))) for name, length in lengths]
        return self.predict_encoded(grouped, notes, mode, together=together, progress=progress)

    def encode(self, utterances: Iterable[Utterance], notes: list[str]) -> Iterator[EncodedTurn]:
        """Encode the sound of turns as they come, and let it go; note words that the model does not read.

        :param utterances: of any number of conversations, one after the other.
        :param notes: what was not encoded is appended here.
        :raises InputError: a recording cannot be read.
        """
        known = note_languages(utterances, self.model.config.languages)
        return encode_speech(known, self.speech_encoder, notes)

    def predict_encoded(
        self,
        conversations: Sequence[tuple[str, Sequence[EncodedTurn]]],
        notes: list[str],
        mode: Mode = "full",
        *,
        together: bool = False,
        progress: Progress = silent,
    ) -> TurnPredictions:
        """Read the words of turns whose sound is encoded, and predict.

        :param conversations: id and turns of each.
        :param notes: what was not read is appended here.
        :param mode: see `mister_e.inference.predict.predict`.
        :param together: see `predict`.
        :param progress: told of turns, as stages "text" and "predict".
        """
        progress("text", 0, 0)
        embedded = embed_conversations(
            conversations, self.text_encoder, self.speech_encoder, notes, together=together
        )
        predictions = predict(self.model.mixture, embedded, mode=mode, progress=progress)
        turns = tuple(turn.utterance for _, own in conversations for turn in own)
        chosen = temperatures(self.model.calibration, predictions, [turn.notes for turn in turns])
        return TurnPredictions(turns, predictions, chosen, tuple(notes))


def _mask_modality(turn: Utterance, mode: Mode) -> Utterance:
    """Take away what a mode does without, so that nothing is encoded for nothing."""
    if mode == "text-only":
        custom = {name: value for name, value in turn.custom.items() if name != "features"}
        return replace(turn, audio=None, custom=custom)
    return replace(turn, text=None) if mode == "speech-only" else turn


def unread_notes(found: TurnPredictions) -> list[str]:
    """Say which turns of a conversation were left out, and which have words that were not read.

    :param found: predictions of its turns.
    """
    judged = found.predictions.predicted.tolist()
    present = [turn for turn, there in zip(found.turns, judged, strict=True) if there]
    left_out = [turn for turn, there in zip(found.turns, judged, strict=True) if not there]
    notes = []
    if left_out:
        kinds = ["uncertain words"] * any(turn.text_uncertain for turn in left_out)
        kinds += ["words of another language"] * any(map(_is_foreign, left_out))
        doubted = f" ({' and '.join(kinds)} are not read)" if kinds else ""
        notes.append(
            f"{len(left_out)} turns without words or sound were left out{doubted}: {_shortened(left_out)}"
        )
    uncertain = [turn for turn in present if turn.text_uncertain and has_words(turn.text)]
    if uncertain:
        notes.append(
            f"{len(uncertain)} of {len(present)} turns {_have(uncertain)} words that were recognised"
            f" uncertainly, are marked and were not read by the model: {_shortened(uncertain)}"
        )
    foreign = [turn for turn in present if _is_foreign(turn)]
    if foreign:
        codes = ", ".join(sorted({str(turn.language) for turn in foreign}))
        notes.append(
            f"{len(foreign)} of {len(present)} turns {_have(foreign)} words of a language that the model does"
            f" not read ({codes}), are shown and were judged without them: {_shortened(foreign)}"
        )
    return notes


def _is_foreign(turn: Utterance) -> bool:
    """Whether the words of a turn are of a language that the model does not read."""
    return OTHER_LANGUAGE in turn.notes


def _have(turns: Sequence[Utterance]) -> str:
    return "has" if len(turns) == 1 else "have"


def _shortened(turns: Sequence[Utterance], most: int = 5) -> str:
    """List ids of turns, not too many."""
    more = f" and {len(turns) - most} more" if len(turns) > most else ""
    return ", ".join(turn.id for turn in turns[:most]) + more
