"""The labelled turns of corpora as examples for acted-speech training: sound, or statistics alone.

Clips are decoded and measured once; what was measured is kept in a folder beside the run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mister_e.audio.prosody import STATISTICS, prosody
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.corpora.store import Corpus
from mister_e.encoders.speech.frontend import TurnAudio, centred, trim_silence
from mister_e.encoders.speech.preprocess import sound_keys
from mister_e.errors import InputError
from mister_e.files import replacing
from mister_e.labels import LabelSet
from mister_e.progress import Progress, silent

log = logging.getLogger(__name__)

#: Clips in a file of what was measured: so many are decoded again after a kill.
_PIECE = 256
#: Full scale of the 16-bit samples that are kept.
_SCALE = 32767


@dataclass(frozen=True)
class SpeechExample:
    """A labelled clip, or the prosody statistics of a turn without sound.

    :param samples: int16 `[N]` at `SAMPLE_RATE`, silence at both ends cut off; None = statistics alone.
    :param statistics: float32 `[8]`; NaN = undefined.
    :param label: position in the label set.
    :param corpus: which it came from: balances training, and scores are by corpus.
    :param centred: whether the intensity is relative to its recording already, and not as measured.
    """

    samples: NDArray[np.int16] | None
    statistics: NDArray[np.float32]
    label: int
    corpus: str
    centred: bool = False

    @classmethod
    def of_sound(
        cls, sound: NDArray[np.float32], statistics: NDArray[np.float32], label: int, corpus: str
    ) -> SpeechExample:
        """Make an example of a clip that `trim_silence` cut."""
        return cls(_to_int16(sound), statistics, label, corpus)

    @property
    def sound(self) -> NDArray[np.float32]:
        """Samples from -1 to 1, float32 `[N]`; none where statistics are all there is."""
        if self.samples is None:
            return np.zeros(0, np.float32)
        return self.samples.astype(np.float32) / np.float32(_SCALE)

    @property
    def centred_statistics(self) -> NDArray[np.float32]:
        """Statistics `[1, 8]` with the intensity relative to the recording; a clip is one of its own."""
        return self.statistics[None].copy() if self.centred else centred(self.statistics[None])


def read_examples(
    corpora: Mapping[str, Corpus],
    split: str,
    labels: LabelSet,
    folder: Path,
    *,
    progress: Progress = silent,
) -> list[SpeechExample]:
    """Read the labelled turns of a split of some corpora.

    Of a corpus that has sound, the turns with sound; of another, the statistics of its turns
    (`custom["features"]`), their intensity relative to the conversation. Silent clips are left out.

    :param corpora: by name.
    :param split: "train", "validation" or "test".
    :param labels: those of the classifier.
    :param folder: finished pieces lie there and are not decoded again.
    :param progress: told of clips, as stage "decode".
    :raises InputError: a clip cannot be read, or a label is not in the set.
    """
    found: list[SpeechExample] = []
    for name, corpus in corpora.items():
        conversations = list(corpus.conversations(split))
        if has_sound(corpus):
            turns = [turn for conversation in conversations for turn in conversation]
            found += _with_sound(turns, name, labels, folder / name / split, progress)
        else:
            for conversation in conversations:
                found += _statistics_alone(conversation, name, labels)
    return found


def has_sound(corpus: Corpus) -> bool:
    """Whether any turn of a corpus has sound that may be used."""
    usable = pl.col("audio").is_not_null() & pl.col("speech_missing").is_null()
    return bool(corpus.table.select(usable.any()).item())


def _statistics_alone(conversation: Conversation, corpus: str, labels: LabelSet) -> list[SpeechExample]:
    """Make examples of the turns of a conversation that have statistics."""
    turns = [(turn, audio) for turn in conversation if (audio := TurnAudio.of(turn)) is not None]
    if not turns:
        return []
    rows = centred(np.stack([audio.to_features().statistics for _, audio in turns]))
    return [
        SpeechExample(None, row, labels.index(turn.label), corpus, centred=True)
        for (turn, _), row in zip(turns, rows, strict=True)
        if turn.label is not None
    ]


def _with_sound(
    turns: Sequence[Utterance], corpus: str, labels: LabelSet, folder: Path, progress: Progress
) -> list[SpeechExample]:
    """Make examples of turns that have a clip, piece by piece."""
    clips = [(turn.audio, turn.label) for turn in turns if turn.audio is not None and turn.label is not None]
    folder.mkdir(parents=True, exist_ok=True)
    found: list[SpeechExample] = []
    for first in range(0, len(clips), _PIECE):
        piece = clips[first : first + _PIECE]
        path = folder / f"{first:06d}-{_key([clip for clip, _ in piece])}.npz"
        if not path.is_file():
            _measure([clip for clip, _ in piece], path)
            log.info("%s: %d of %d clips decoded", corpus, first + len(piece), len(clips))
        progress("decode", first + len(piece), len(clips))
        with np.load(path) as stored:
            sounds = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
            found += [
                SpeechExample(samples, statistics, labels.index(label), corpus)
                for (_, label), samples, statistics in zip(piece, sounds, stored["statistics"], strict=True)
                if len(samples)
            ]
    return found


def _key(clips: Sequence[Clip]) -> str:
    """Tell pieces of other clips apart: a digest of the files' bytes and the stretches of them."""
    turns = tuple(Utterance(str(number), audio=clip) for number, clip in enumerate(clips))
    keys = sound_keys([Conversation("clips", turns)])
    return hashlib.sha256("".join(str(key) for key in keys).encode()).hexdigest()[:12]


def _measure(clips: Sequence[Clip], path: Path) -> None:
    """Decode clips, and write samples and statistics."""
    sounds = [trim_silence(clip.load()) for clip in clips]
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                samples=np.concatenate([_to_int16(sound) for sound in sounds]),
                lengths=np.array([len(sound) for sound in sounds]),
                statistics=np.array([prosody(sound).to_array() for sound in sounds], np.float32).reshape(
                    -1, len(STATISTICS)
                ),
            )
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); make room, then run again"
        ) from error


def _to_int16(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    return (np.clip(sound, -1, 1) * _SCALE).astype(np.int16)
