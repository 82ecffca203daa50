"""From the name of a Whisper to the loaded model; a folder that holds none is refused in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError
from mister_e.pretrained.whisper import BUNDLED, WEIGHTS, whisper_folder

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from tokenizers import Tokenizer

#: Types of numbers that CTranslate2 computes with; the device says which of them it has.
COMPUTE_TYPES = (
    *("default", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16"),
    *("float16", "bfloat16", "float32"),
)
_DEFAULT_TYPES = {"cpu": "int8", "cuda": "float16"}

_TOKENIZER, _VOCABULARIES = "tokenizer.json", ("vocabulary.json", "vocabulary.txt")
#: Tokens that the decoder is steered by.
_MARKS = ("<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>")


def load_whisper(
    model: str | Path = BUNDLED, *, device: str = "cpu", compute_type: str = "default", threads: int = 0
) -> WhisperModel:
    """Load a Whisper for recognition.

    :param model: a name, folder or Hub id, see `mister_e.pretrained.whisper.whisper_folder`.
    :param device: `cpu` or `cuda`.
    :param compute_type: of `COMPUTE_TYPES`; `default` is int8 on the CPU and float16 on a GPU.
    :param threads: threads of one call on the CPU; 0 = the library's default.
    :raises InputError: there is no such model, its folder is not whole, or the device has no such type.
    """
    compute_type = _checked_type(device, compute_type)
    folder = whisper_folder(model)
    for name in (WEIGHTS, _TOKENIZER):  # which would else be asked of the Hub
        _check_file(folder, name)
    vocabulary = _vocabulary(folder)
    from faster_whisper import WhisperModel
    from faster_whisper.feature_extractor import FeatureExtractor

    try:
        whisper = WhisperModel(str(folder), device=device, compute_type=compute_type, cpu_threads=threads)
        # a folder need not say how many rows a spectrogram has
        whisper.feature_extractor = FeatureExtractor(feature_size=whisper.model.n_mels)
        _check_tokenizer(folder, vocabulary, whisper.hf_tokenizer)
        tokens = _embedded_tokens(whisper)
    except InputError:
        raise
    except Exception as error:  # CTranslate2 and tokenizers raise no narrower classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        way_out = "get the folder again, whole" if device == "cpu" else "try --device cpu"
        raise InputError(f"{folder}: holds no Whisper that can be loaded ({reason}); {way_out}") from error
    if tokens != len(vocabulary):
        raise InputError(
            f"{folder}: its vocabulary has {len(vocabulary)} tokens and {WEIGHTS} {tokens}: they are of two"
            " models; get the folder again, whole"
        )
    return whisper


def _checked_type(device: str, compute_type: str) -> str:
    """The type of numbers to compute with.

    :raises InputError: there is no such type or device, or the device has no such type.
    """
    import ctranslate2

    if device not in _DEFAULT_TYPES:
        raise InputError(f"unknown device {device!r}: expected cpu or cuda")
    if compute_type not in COMPUTE_TYPES:
        raise InputError(f"unknown compute type {compute_type!r}: expected one of {', '.join(COMPUTE_TYPES)}")
    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise InputError("device 'cuda': CTranslate2, which recognises words, finds no GPU; use auto or cpu")
    chosen = _DEFAULT_TYPES[device] if compute_type == "default" else compute_type
    known = sorted(ctranslate2.get_supported_compute_types(device))
    if compute_type != "default" and chosen not in known:
        raise InputError(
            f"compute type {compute_type!r}: not on this {device}; it has {', '.join(known)}, or take default"
        )
    return chosen if chosen in known else "default"


def _check_file(folder: Path, name: str) -> None:
    """Refuse a folder that lacks a file, and say how to get it."""
    if (folder / name).is_file():
        return
    transformers = (*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin"))
    if name == WEIGHTS and transformers:
        raise InputError(
            f"{folder}: holds a model of Transformers; convert it for CTranslate2: ct2-transformers-converter"
            f" --model {folder} --output_dir NEW --copy_files {_TOKENIZER} preprocessor_config.json"
        )
    whence = "; take it from the model that this was converted from" if name == _TOKENIZER else ""
    raise InputError(
        f"{folder}: lacks {name}: a recogniser's folder holds a Whisper for CTranslate2 with {WEIGHTS},"
        f" config.json, {_TOKENIZER} and {' or '.join(_VOCABULARIES)}{whence}"
    )


def _vocabulary(folder: Path) -> list[str]:
    """The tokens that the model's weights are of, in their order."""
    path = next((folder / name for name in _VOCABULARIES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: lacks {' or '.join(_VOCABULARIES)}; get the folder again, whole")
    try:
        text = path.read_text(encoding="utf-8")
        tokens = json.loads(text) if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{path}: no vocabulary ({reason}); get the folder again, whole") from None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"{path}: no vocabulary: expected a list of tokens; get the folder again, whole")
    return tokens


def _check_tokenizer(folder: Path, vocabulary: Sequence[str], tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that numbers tokens otherwise than the weights: the words would be nonsense."""
    place = {token: number for number, token in enumerate(vocabulary)}
    known = tokenizer.get_vocab()
    lacking = [mark for mark in _MARKS if mark not in known or mark not in place]
    if lacking:
        raise InputError(f"{folder}: holds no Whisper: its vocabulary lacks {lacking[0]}")
    text = (token for token, number in known.items() if number <= known[_MARKS[0]])
    for token in (*_MARKS, *text):
        if place.get(token) != known[token]:
            raise InputError(
                f"{folder}: {_TOKENIZER} is of another model: it has token {token!r} as {known[token]}, the"
                f" vocabulary as {place.get(token)}; get the folder again, whole"
            )


def _embedded_tokens(whisper: WhisperModel) -> int:
    """How many tokens the weights know, by one step of decoding a second of silence."""
    silence = whisper.feature_extractor(np.zeros(SAMPLE_RATE, np.float32), padding=0)[None]
    (result,) = whisper.model.generate(
        whisper.encode(silence),
        [[whisper.hf_tokenizer.token_to_id(_MARKS[1])]],
        beam_size=1,
        max_length=2,
        return_logits_vocab=True,
        suppress_tokens=[],
    )
    return len(np.asarray(result.logits[0][0]))
