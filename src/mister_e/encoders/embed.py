"""From turns to what the mixture takes: sound is heard in groups and let go, words are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Utterance
from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.speech.frontend import AudioFeatures, SpeechFrontend
from mister_e.encoders.speech.whisper import WhisperEncoder
from mister_e.encoders.text.encoder import TextEncoder
from mister_e.errors import InputError

#: Sound that is held before it is embedded, in seconds: enough for batches, little for memory.
GROUP_SECONDS = 60.0
#: Turns that are held at most, for those without sound.
GROUP_TURNS = 64

UNDEFINED = np.full(len(STATISTICS), np.nan, dtype=np.float32)


@dataclass(frozen=True)
class HeardTurn:
    """What stays of a turn when its sound is let go.

    :param utterance: without its sound.
    :param pooled: float32 `[768]`; None = speech is missing, NaN = statistics are all that is known of it.
    :param statistics: float32 `[8]` as `audio.prosody.STATISTICS`; NaN = undefined.
    """

    utterance: Utterance
    pooled: Tensor | None
    statistics: NDArray[np.float32]


def has_words(utterance: Utterance) -> bool:
    """Tell whether a turn has words to read."""
    return bool(utterance.text and utterance.text.strip())


def hear_turns(
    utterances: Iterable[Utterance], front_end: SpeechFrontend, encoder: WhisperEncoder, notes: list[str]
) -> Iterator[HeardTurn]:
    """Hear turns group by group; the sound of one group alone is in memory.

    A turn without sound is heard through the statistics that its corpus tells of it
    (`custom["features"]`, see `Corpus.conversations`), where there are any.

    :param utterances: of any number of conversations, one after the other.
    :param notes: what was not heard is appended here.
    :raises InputError: a recording cannot be read, or a statistic is not a number.
    """
    for group in _groups(utterances):
        yield from _heard(group, front_end, encoder, notes)


@torch.inference_mode()
def embed_turns(
    conversations: Sequence[tuple[str, Sequence[HeardTurn]]],
    text_encoder: TextEncoder,
    speech_encoder: WhisperEncoder,
    notes: list[str],
    *,
    together: bool = False,
) -> list[StoredConversation]:
    """Read the words of conversations and join what was heard; all of them together.

    :param conversations: id and T turns of each; sound is taken relative to the others of these.
    :param notes: what was not read is appended here.
    :param together: whether all conversations are cut from one recording, and sound is relative to it.
    :return: as given, unlabelled; a turn may lack words, sound or both.
    """
    turns = [turn for _, own in conversations for turn in own]
    has_speech = torch.tensor([turn.pooled is not None for turn in turns], dtype=torch.bool)
    has_text = torch.tensor([has_words(turn.utterance) for turn in turns], dtype=torch.bool)
    speech = torch.zeros(len(turns), speech_encoder.dim)
    if has_speech.any():
        speech[has_speech] = torch.cat(
            [
                speech_encoder.embed_recording(
                    torch.stack([turn.pooled for turn in own if turn.pooled is not None]),
                    np.stack([turn.statistics for turn in own if turn.pooled is not None]),
                )
                for own in ([turns] if together else [own for _, own in conversations])
                if any(turn.pooled is not None for turn in own)
            ]
        ).cpu()
    text = torch.zeros(0, text_encoder.dim)
    if turns:
        text = text_encoder.embed_words([[turn.utterance.text for turn in own] for _, own in conversations])
    words = [turn.utterance.text for turn in turns if turn.utterance.text and has_words(turn.utterance)]
    cut = sum(text_encoder.is_cut(one) for one in words)
    if cut:
        most = text_encoder.config.max_tokens
        notes.append(f"{cut} of {len(words)} turns are longer than {most} tokens: their ends were not read")
    result, first = [], 0
    for name, own in conversations:
        last = first + len(own)
        result.append(
            StoredConversation(
                name,
                tuple(turn.utterance.id for turn in own),
                text[first:last],
                speech[first:last],
                has_text[first:last],
                has_speech[first:last],
                torch.full((len(own),), -1, dtype=torch.int64),
            )
        )
        first = last
    return result


@torch.inference_mode()
def _heard(
    group: Sequence[tuple[Utterance, NDArray[np.float32] | None]],
    front_end: SpeechFrontend,
    encoder: WhisperEncoder,
    notes: list[str],
) -> list[HeardTurn]:
    """Hear and pool the turns of a group."""
    notes += [
        f"{turn.id}: only its first {LONGEST:.0f} s were heard"
        for turn, sound in group
        if sound is not None and len(sound) > (LONGEST + 1) * SAMPLE_RATE
    ]
    sounds = [sound for _, sound in group if sound is not None]
    found = iter(front_end.hear(sounds) if sounds else ())
    heard = [_told(turn) if sound is None else next(found) for turn, sound in group]
    there = [one for one in heard if one is not None]
    pooled = iter(encoder.pool_heard(there) if there else ())
    return [
        HeardTurn(turn, None, UNDEFINED) if one is None else HeardTurn(turn, next(pooled), one.statistics)
        for (turn, _), one in zip(group, heard, strict=True)
    ]


def _told(turn: Utterance) -> AudioFeatures | None:
    """Take the statistics that a corpus tells of a turn without sound; None = it tells none.

    :raises InputError: they are not numbers.
    """
    features = turn.custom.get("features") or {}
    try:
        known = {name: float(features[name]) for name in STATISTICS if features.get(name) is not None}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"turn {turn.id}: custom 'features' are the names of statistics and their numbers,"
            f" such as {STATISTICS[0]}"
        ) from None
    row = np.array([known.get(name, np.nan) for name in STATISTICS], np.float32)
    return None if np.isnan(row).all() else AudioFeatures(None, row)


def _groups(utterances: Iterable[Utterance]) -> Iterator[list[tuple[Utterance, NDArray[np.float32] | None]]]:
    """Gather turns with their sound until it is worth a few batches."""
    group: list[tuple[Utterance, NDArray[np.float32] | None]] = []
    samples = 0
    for utterance in utterances:
        sound = None if utterance.audio is None else utterance.audio.load()
        group.append((replace(utterance, audio=None), sound))
        samples += 0 if sound is None else len(sound)
        if samples >= GROUP_SECONDS * SAMPLE_RATE or len(group) >= GROUP_TURNS:
            yield group
            group, samples = [], 0
    if group:
        yield group
