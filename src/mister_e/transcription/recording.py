"""From a recording, and what is known of it, to turns: the ways to cut and to get words, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import Recording
from mister_e.audio.format import Channels
from mister_e.audio.resampling import array_blocks
from mister_e.audio.sandbox import blocks, probe
from mister_e.audio.waveform import Waveform
from mister_e.conversation import Utterance
from mister_e.inputs import Sound
from mister_e.progress import Progress, silent
from mister_e.transcription.align import cut_turns
from mister_e.transcription.asr import Recogniser, for_recording
from mister_e.transcription.channels import tell_mono
from mister_e.transcription.cuts.turns import transcribe_cuts
from mister_e.transcription.cutting.voices import VoiceChanges
from mister_e.transcription.segment import Turns, transcribe_turns
from mister_e.transcription.transcripts import read_transcript


@dataclass
class OpenedRecording:
    """A recording that is about to be read, once.

    :param name: what its conversation is called.
    :param path: of the file; None = the sound was in memory.
    :param seconds: its length, about; None = its header does not say.
    :param sound: float32 `[C, N]` successive blocks at `SAMPLE_RATE`.
    :param notes: told what is noticed while it is read.
    :param header: of the file.
    :param waveform: length and loudness of what was read so far.
    """

    name: str
    path: str | None
    seconds: float | None
    sound: Iterable[NDArray[np.float32]]
    notes: list[str]
    header: Recording | None = None
    waveform: Waveform = field(default_factory=Waveform)


def open_recording(
    source: Sound | str | Path, *, channels: Channels, track: int | None, notes: list[str]
) -> OpenedRecording:
    """Open a recording.

    :param source: its path, or sound in memory.
    :param channels: `mix` or `split`.
    :param track: sound track of a file; None = the one flagged as default.
    :param notes: told what is noticed while it is read.
    :raises InputError: it cannot be read.
    """
    if isinstance(source, Sound):
        seconds = max(source.samples.shape) / source.rate
        sound = array_blocks(*source, channels=channels, notes=notes)
        opened = OpenedRecording("recording", None, seconds, sound, notes)
    else:
        header = probe(source, track=track)
        sound = blocks(source, channels=channels, track=track, notes=notes)
        opened = OpenedRecording(Path(source).stem, str(source), header.duration, sound, notes, header=header)
    if channels == "split":
        opened.sound = tell_mono(opened.sound, notes)
    opened.sound = opened.waveform.watch(opened.sound)
    return opened


def recording_turns(
    recording: OpenedRecording,
    *,
    transcript: str | Path | None = None,
    cuts: str | Path | None = None,
    recogniser: Recogniser | None = None,
    turns: Turns = "sentences",
    voices: VoiceChanges | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Iterator[Utterance]:
    """Cut a recording into turns with words.

    :param recording: is read while turns are taken.
    :param transcript: turns and words; nothing is recognised then.
    :param cuts: where to cut; words are recognised.
    :param recogniser: recognises words; None = there are none but those of the transcript.
    :param turns: where to cut without a transcript and cuts, see `transcribe_turns`.
    :param voices: see `transcribe_turns`.
    :param strict: see `read_transcript`, `cut_turns` and `transcribe_cuts`.
    :param progress: told the seconds so far.
    :raises InputError: a file cannot be read, or does not fit the recording.
    """
    if recogniser is not None:
        recogniser = for_recording(recogniser)
    notes, total = recording.notes, recording.seconds
    if transcript is not None:
        remarks: list[str] = []
        cues = read_transcript(transcript, strict=strict, notes=remarks)
        notes += [f"{Path(transcript).name}: {remark}" for remark in remarks]
        return cut_turns(
            recording.sound,
            cues,
            total=total,
            recording=recording.header,
            origin=transcript,
            strict=strict,
            progress=progress,
            notes=notes,
        )
    if cuts is not None:
        return transcribe_cuts(
            recording.sound,
            cuts,
            recogniser=recogniser,
            total=total,
            recording=recording.header,
            strict=strict,
            progress=progress,
            notes=notes,
        )
    return transcribe_turns(
        recording.sound,
        recogniser=recogniser,
        turns=turns,
        voices=voices,
        total=total,
        progress=progress,
        notes=notes,
    )
