"""A tiny MELD.Raw with real mp4/AAC clips and every quirk of the release."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
HEADER = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"]
HEADER += ["Season", "Episode", "StartTime", "EndTime"]


@dataclass
class Turn:
    """A line of a csv file and the length of its clip (None = no clip)."""

    dialogue: int
    utterance: int
    text: str
    emotion: str
    sentiment: str
    start: str
    end: str
    seconds: float | None
    speaker: str = "Joey"


#: Names are those of the release's own bad clips; the texts are made up.
TURNS: dict[str, list[Turn]] = {
    "train": [
        Turn(0, 0, "You did \x91what\x92\x85", "surprise", "negative", "00:16:16,059", "00:16:16,559", 0.5),
        Turn(
            0, 1, "I sold\xa0it \x96 all of it.", "sadness", "negative", "00:16:17,000", "00:16:17,600", 0.6
        ),
        Turn(0, 4, "Fine.", "anger", "negative", "00:16:20,000", "00:16:20,400", 0.4),  # a gap before it
        Turn(125, 3, "Nobody knows.", "neutral", "neutral", "00:02:42,287", "00:02:42,787", None),
        Turn(309, 0, "A long story.", "neutral", "neutral", "00:11:45,121", "00:12:26,161", 1.0),
        Turn(338, 3, "What?", "surprise", "negative", "00:15:53,994", "00:15:54,000", 0.6),
        Turn(61, 0, "Well, hello!", "joy", "positive", "01:00:00,500", "01:00:00,900", 0.4),
    ],
    "dev": [
        Turn(0, 0, "Is it \x93safe\x94?", "fear", "negative", "00:00:01,000", "00:00:01,500", 0.5),
        Turn(110, 7, "Gone.", "sadness", "negative", "00:07:11,764", "00:07:12,164", None),
    ],
    "test": [
        Turn(0, 0, "That is gross, \x97 no.", "disgust", "negative", "00:14:38,127", "00:14:38,527", 0.4),
        Turn(0, 1, "Come on, eat.", "joy", "positive", "00:14:39,000", "00:14:39,900", 0.3),
        Turn(38, 4, "Too long.", "neutral", "neutral", "00:13:31,060", "00:18:36,000", 0.8),
        Turn(155, 3, "Oh.", "surprise", "positive", "00:12:32,632", "00:12:32,632", 0.5),
        Turn(220, 0, "Too long as well.", "neutral", "neutral", "00:01:44,270", "00:05:39,338", 0.8),
    ],
}


@dataclass
class Quirks:
    """How this copy of the release differs.

    :param csv: "above" the clip folders, "beside" them (one folder down), or "inside" the archives.
    :param archives: the clips are still in `train.tar.gz`, `dev.tar.gz`, `test.tar.gz`.
    :param clips: whether there are any.
    :param litter: `._*` files of macOS.
    :param twins: `final_videos_testdia0_utt1.mp4` (0.9 s, as the csv says) beside `dia0_utt1.mp4` (0.3 s).
    :param windows: csv bytes are Windows-1252, not UTF-8.
    :param speakers: whom the csv says to speak, by turn.
    :param extra: clips without text, (split, dialogue, utterance).
    """

    csv: str = "above"
    archives: bool = False
    clips: bool = True
    litter: bool = True
    twins: bool = True
    windows: bool = False
    speakers: tuple[str, ...] = ("Joey", "Monica")
    extra: list[tuple[str, int, int]] = field(
        default_factory=lambda: [("dev", 49, 4), ("dev", 66, 9), ("test", 93, 5), ("test", 108, 1)]
    )


def meld_tree(folder: Path, **quirks) -> Path:
    """Write `MELD.Raw` into a folder.

    :param quirks: those of `Quirks`.
    :return: the path of `MELD.Raw`.
    """
    how = Quirks(**quirks)
    root = folder / "MELD.Raw"
    root.mkdir(parents=True)
    (root / "README.txt").write_text("Multimodal EmotionLines Dataset\n", encoding="utf-8")
    for split, turns in TURNS.items():
        holder = root if how.csv == "above" and not how.archives else root / split
        clips = holder / FOLDERS[split]
        clips.mkdir(parents=True)
        if how.clips:
            _write_clips(clips, split, turns, how)
        beside = root if how.csv == "above" else holder
        write_csv(beside / f"{split}_sent_emo.csv", turns, how.speakers, windows=how.windows)
        if how.archives:
            _pack(root, split)
    return root


def write_csv(
    path: Path, turns: Iterable[Turn], speakers: tuple[str, ...] = ("Joey",), *, windows: bool = False
) -> None:
    """Write `*_sent_emo.csv` with CRLF; cp1252 code points as UTF-8, or as the bytes they were."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    for number, turn in enumerate(turns, 1):
        names = (number, turn.text, speakers[number % len(speakers)], turn.emotion, turn.sentiment)
        writer.writerow([*names, turn.dialogue, turn.utterance, 8, 21, turn.start, turn.end])
    path.write_bytes(text.getvalue().encode("latin-1" if windows else "utf-8"))


def write_clip(path: Path, seconds: float, frequency: float = 440.0, rate: int = 44_100) -> Path:
    """Write a tone; the container and codec follow from the file's name."""
    codec, sample_format = {".mp4": ("aac", "fltp"), ".wav": ("pcm_s16le", "s16")}[path.suffix]
    time = np.arange(round(seconds * rate)) / rate
    samples = (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in av.AudioResampler(format=sample_format, layout="mono", rate=rate).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def _write_clips(clips: Path, split: str, turns: list[Turn], how: Quirks) -> None:
    """Write the clips of a split, the damaged ones among them."""
    for turn in turns:
        if turn.seconds is not None:
            write_clip(clips / f"dia{turn.dialogue}_utt{turn.utterance}.mp4", turn.seconds)
    for _, dialogue, utterance in (clip for clip in how.extra if clip[0] == split):
        write_clip(clips / f"dia{dialogue}_utt{utterance}.mp4", 0.3)
    if split == "train":
        (clips / "dia125_utt3.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(200))
    if split == "test" and how.twins:
        write_clip(clips / "final_videos_testdia0_utt1.mp4", 0.9, 880.0)  # the right one of this pair
        write_clip(clips / "final_videos_testdia0_utt0.mp4", 2.0, 880.0)  # the wrong one of this
    if how.litter:
        (clips / "._dia0_utt0.mp4").write_bytes(b"\x00\x05\x16\x07Mac OS X")


def _pack(root: Path, split: str) -> None:
    """Replace the folder of a split by `{split}.tar.gz`."""
    with tarfile.open(root / f"{split}.tar.gz", "w:gz") as tar:
        for path in sorted((root / split).iterdir()):
            tar.add(path, path.name)
    shutil.rmtree(root / split)
