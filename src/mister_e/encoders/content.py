"""What a turn's sound is, whatever its file is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mister_e.conversation import Clip, Conversation
from mister_e.encoders.weights import sha256
from mister_e.errors import InputError


def sound_keys(conversations: Sequence[Conversation]) -> list[str | None]:
    """Hash the sound of each turn.

    :param conversations: N turns together.
    :return: N keys of 64 hexadecimal digits: over the file's bytes and the stretch of it that is the
        turn, or over the samples where they are at hand; None = no audio.
    :raises InputError: a file is missing.
    """
    return [None if turn.audio is None else _key(turn.audio) for one in conversations for turn in one]


def _key(clip: Clip) -> str:
    if clip.samples is not None:
        return hashlib.sha256(clip.samples.tobytes()).hexdigest()
    path = Path(str(clip.source))
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); prepare the corpus again") from None
    whole = _file(path, facts.st_size, facts.st_mtime_ns)
    return hashlib.sha256(f"{whole} {clip.start} {clip.end} {clip.channel}".encode()).hexdigest()


@cache
def _file(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process, for as long as it stays the same."""
    return sha256(path)
