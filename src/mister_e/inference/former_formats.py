"""Model folders as older versions wrote them, read as today's.

Format 1 is a mixture that `mister-e train` wrote, without encoders; format 2 a bundled model whose
`model.safetensors` holds the mixture and the adapted Whisper, with the text encoder in `text/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mister_e.encoders.base import UtteranceEncoder
from mister_e.encoders.registry import config_class, encoder_class, load_encoder
from mister_e.experts import Modality
from mister_e.pretrained.weights import load_strictly

#: The former format that holds its encoders.
WHOLE = 2
_WEIGHTS = "model.safetensors"
_SPEECH, _MIXTURE = "speech_encoder.", "mixture."

ReadWeights = Callable[[Path], dict[str, Tensor]]
Read = tuple[Mapping[str, Tensor], dict[Modality, UtteranceEncoder]]


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of an older `config.json` as those of today; `format` stays the older one.

    :param data: the JSON of format 1 or 2.
    """
    if data["format"] == WHOLE:
        kept = {name: value for name, value in data.items() if name != "speech_encoder"}
        mixture, speech = data.get("mixture", {}), data.get("speech_encoder", {})
        return kept | {
            "encoders": {
                "text": {"kind": "text", "dim": mixture.get("text_dim", 1)},
                "speech": {"kind": "whisper", "dim": speech.get("embedding_dim", 1), "config": speech},
            }
        }
    moved = {"kind", "model", "validation", "protocol", "corpus_sha256", "selection", "recipe", "seed"}
    kept = {name: value for name, value in data.items() if name not in moved | {"loss", "train"}}
    told = ("recipe", "seed", "protocol", "corpus_sha256", "selection", "loss", "train")
    return kept | {
        "name": data.get("recipe") or "mixture",
        "mixture": data.get("model"),
        "training": {name: data[name] for name in told if name in data},
        "scores": {"validation": data["validation"]} if data.get("validation") else {},
    }


def _read_mixture(folder: Path, speech: Mapping[str, Any], read: ReadWeights, *, encoders: bool) -> Read:
    """Weights of format 1."""
    return read(folder / _WEIGHTS), {}


def _read_whole(folder: Path, speech: Mapping[str, Any], read: ReadWeights, *, encoders: bool) -> Read:
    """Weights and encoders of format 2; `speech` is the configuration of its adapted Whisper."""
    weights = read(folder / _WEIGHTS)
    mixture = {name.removeprefix(_MIXTURE): w for name, w in weights.items() if name.startswith(_MIXTURE)}
    if not encoders:
        return mixture, {}
    own = {name.removeprefix(_SPEECH): w for name, w in weights.items() if name.startswith(_SPEECH)}
    whisper = encoder_class("whisper").from_base(config_class("whisper").model_validate(speech))
    load_strictly(whisper, own, folder / _WEIGHTS)
    return mixture, {"text": load_encoder(folder / "text").eval(), "speech": whisper.eval()}


#: Format to what reads its weights: those of the mixture, and the encoders that it holds.
FORMER: Mapping[int, Callable[..., Read]] = {1: _read_mixture, WHOLE: _read_whole}
