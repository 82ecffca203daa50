"""Score a model folder on labelled data: the model as people use it, from sound and words to scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mister_e.errors import InputError
from mister_e.evaluation.label_mapping import LabelMap, restrict_to_present
from mister_e.evaluation.labelled import Labelled
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import score
from mister_e.evaluation.summary import Evaluation
from mister_e.inference.model_config import WEIGHTS
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import MODES, Mode
from mister_e.inference.predictions import Predictions
from mister_e.inference.predictor import Predictor
from mister_e.progress import Progress, silent

#: Where epochs and temperatures of a model folder were chosen; its card tells which data that is.
SELECTION = "validation data of its own"


def evaluate_model(
    predictor: Predictor,
    data: Labelled,
    *,
    mode: Mode = "full",
    label_names: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    progress: Progress = silent,
) -> Evaluation:
    """Score a model folder.

    Predictions are restricted to the classes that occur in the data; the unrestricted ones are reported too.
    Where all turns have one class, nothing is restricted.

    :param predictor: with the model.
    :param data: see `mister_e.evaluation.labelled.read_labelled`.
    :param mode: what the model is shown.
    :param label_names: class of the data to label of the model, where its name does not tell it.
    :param only: the classes to score, by their names in the data or in the model; none = all.
    :param progress: told of turns, as stages "speech", "text" and "predict".
    :raises InputError: no class is one of the model's, or nothing can be read or scored in this mode.
    """
    if mode not in MODES:
        raise InputError(f"there is no mode {mode!r}: the modes are {', '.join(MODES)}")
    mapped = LabelMap.of(data.counts, predictor.labels, data.source, label_names, only)
    protocol = ScoreProtocol(
        data.protocol, data.split, mode, (), data.sha256, encoders(predictor.model), selection=SELECTION
    )
    found = predictor.predict(
        data.conversations(mapped.names, sound=mode != "text-only"),
        mode=mode,
        together=data.together,
        total=data.turns(mapped.names),
        progress=progress,
    )
    labels = np.array([mapped.position(turn.label) for turn in found.turns], dtype=np.int64)
    predictions, present, choice = restrict_to_present(
        replace(found.predictions, labels=labels), mapped, data.source
    )
    voices = data.voices
    card = score(
        predictions if voices is None else _by_voice(predictions, voices),
        present,
        temperature=found.temperatures,
        unit="conversation" if voices is None else "voice",
    )
    return Evaluation(
        protocol,
        _metadata(predictor.model),
        {0: card},
        name=predictor.model.config.name,
        choice=choice,
        notes=(*data.notes, *_few(found.notes), *_trained_on(predictor.model, data)),
    )


def encoders(model: ModelFolder) -> dict[str, dict[str, Any]]:
    """Encoders of a model, as `ScoreProtocol` tells them."""
    return {
        encoder.modality: {
            "name": getattr(encoder.config, "base", encoder.kind),
            "kind": encoder.kind,
            "identity": encoder.identity,
            "dim": encoder.dim,
        }
        for encoder in model.encoders.values()
    }


def _by_voice(predictions: Predictions, voices: Mapping[str, str]) -> Predictions:
    """Make one conversation of all turns of a voice, so that the bootstrap draws whole voices."""
    speakers = [voices[name] for name in predictions.conversation_ids]
    names = {name: place for place, name in enumerate(dict.fromkeys(speakers))}
    places = np.array([names[name] for name in speakers], dtype=np.int64)
    return replace(
        predictions, conversations=places[predictions.conversations], conversation_ids=tuple(names)
    )


def _metadata(model: ModelFolder) -> dict[str, Any]:
    """Metadata of the model, JSON-ready."""
    return {
        "name": model.config.name,
        "description": model.config.description,
        "labels": ", ".join(model.labels),
        "weights": model.config.fingerprint,
        "mixture": model.config.files.get(WEIGHTS, ""),
        "sizes": model.config.mixture.model_dump(mode="json"),
        "calibration": model.config.calibration.model_dump(mode="json"),
    }


def _few(notes: Sequence[str], max_notes: int = 5) -> list[str]:
    """The first notes, and how many more there are: their number grows with the data."""
    more = [f"{len(notes) - max_notes} more such notes"] if len(notes) > max_notes else []
    return [*notes[:max_notes], *more]


def _trained_on(model: ModelFolder, data: Labelled) -> Iterator[str]:
    """Note that the model's metadata names this data as what it was trained on."""
    protocol = data.protocol
    for name in dict.fromkeys((protocol.name, protocol.corpus)):
        words = set(re.findall(r"[a-z]+", name.lower()))
        if words & _corpora(model.config.training):
            yield (
                f"the model was trained on {name}: what it has seen there makes its scores too high;"
                " its card names the splits"
            )
            return


def _corpora(metadata: Mapping[str, Any]) -> set[str]:
    """Words of the names of the corpora that a model was trained on, in lower case.

    :param metadata: of the training.
    """
    found: set[str] = set()
    for field, value in metadata.items():
        if isinstance(value, Mapping):
            found |= _corpora(value)
        elif field in ("corpus", "corpora"):
            names = value if isinstance(value, (list, tuple)) else [value]
            found |= {word for name in names for word in re.findall(r"[a-z]+", str(name).lower())}
    return found - {"statistics", "clips"}
