"""From a turn's clip to the samples that a speech model hears."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.audio.level import normalise_level
from mister_e.conversation import Clip, Conversation
from mister_e.encoders.speech.frontend import MIN_SECONDS, trim_silence
from mister_e.errors import InputError
from mister_e.files import sha256

#: Shorter sounds get silence at their end: the strides of every model leave some frames of this.
SHORTEST_SECONDS = 0.1


def sound_of(
    clip: Clip,
    *,
    seconds: float = LONGEST,
    crop_seconds: float | None = None,
    random: np.random.Generator | None = None,
) -> NDArray[np.float32] | None:
    """Samples of a clip, at one level and without the silence around the sound.

    So neither the gain of a recording nor the way a turn was cut is heard.

    :param clip: of a turn.
    :param seconds: more is cut off at the end.
    :param crop_seconds: with `random`, a stretch of this length stands for a longer sound.
    :param random: where the stretch lies; None = no cropping.
    :return: float32 `[N]` at 16 kHz, mono; None = less sound than `MIN_SECONDS`: speech is missing.
    :raises InputError: the recording cannot be read.
    """
    samples = trim_silence(clip.load(), seconds)
    if len(samples) < MIN_SECONDS * SAMPLE_RATE:
        return None
    samples = normalise_level(samples)
    if random is not None and crop_seconds is not None:
        extra = len(samples) - int(crop_seconds * SAMPLE_RATE)
        if extra > 0:
            start = int(random.integers(extra + 1))
            samples = samples[start : start + len(samples) - extra]
    return np.pad(samples, (0, max(0, len(nothing()) - len(samples))))


def nothing() -> NDArray[np.float32]:
    """What stands in a batch for a turn without speech: a little silence, the same always."""
    return np.zeros(int(SHORTEST_SECONDS * SAMPLE_RATE), np.float32)


def sound_keys(conversations: Sequence[Conversation]) -> list[str | None]:
    """Hash the sound of each turn.

    :param conversations: N turns together.
    :return: N keys of 64 hexadecimal digits: over the file's bytes and the stretch of it that is the
        turn, or over the samples where they are at hand; None = no audio.
    :raises InputError: a file is missing.
    """
    return [
        None if turn.audio is None else clip_key(turn.audio)
        for conversation in conversations
        for turn in conversation
    ]


def clip_key(clip: Clip) -> str:
    """Hash the sound of a clip, see `sound_keys`."""
    if clip.samples is not None:
        return hashlib.sha256(clip.samples.tobytes()).hexdigest()
    path = Path(str(clip.source))
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); prepare the corpus again") from None
    whole = _file(path, status.st_size, status.st_mtime_ns)
    return hashlib.sha256(f"{whole} {clip.start} {clip.end} {clip.channel}".encode()).hexdigest()


@cache
def _file(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, for as long as it stays the same."""
    return sha256(path)
