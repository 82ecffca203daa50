"""A tiny CMU-MOSI release: the layout and the oddities of the real one, with tones for speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iemocap_tree import tone


@dataclass(frozen=True)
class Segment:
    """One segment of a video."""

    number: int
    start: float
    end: float
    score: float
    text: str | None
    clip: bool = True


#: Video to its segments, in the order in which the table lists them; real videos, as their split is known.
VIDEOS: dict[str, tuple[Segment, ...]] = {
    "03bSnISJMiM": (  # train
        Segment(1, 51.9, 52.6, 2.4, "ANYHOW IT WAS REALLY GOOD"),
        Segment(2, 52.6, 53.4, -0.8, "THEY DIDNT REALLY SAY WHY"),
        Segment(10, 58.0, 58.9, -2.5, "I MEAN IT IS BAD"),
        Segment(9, 56.0, 56.5, 0.0, "THEN CAME A SCENE"),
    ),
    "2WGyTLYerpo": (  # train; a segment without length, as in the real table
        Segment(43, 127.2, 127.9, 1.5, None),
        Segment(44, 127.9, 127.9, 0.5, "SHES BEAUTIFUL", clip=False),
    ),
}


def write(root: Path, validation: str, test: str) -> Path:
    """Write the release.

    :param root: the folder to make it in.
    :param validation: a video to add that is validated on.
    :param test: a video to add that is tested on.
    :return: the folder that the archive would make.
    """
    release = root / "CMU_MOSI_Raw"
    videos = {
        **VIDEOS,
        validation: (Segment(1, 0.0, 0.6, -0.2, "SO YEAH"), Segment(2, 1.0, 1.7, 3.0, "GREAT")),
        test: (Segment(1, 3.0, 3.8, 0.0, "IT IS A FILM"), Segment(2, 4.0, 4.5, -3.0, "AWFUL")),
    }
    lines = []
    for video, segments in videos.items():
        transcript = release / "Transcript" / "Segmented" / f"{video}.annotprocessed"
        transcript.parent.mkdir(parents=True, exist_ok=True)
        words = [f"{segment.number}_DELIM_{segment.text}" for segment in segments if segment.text is not None]
        transcript.write_text("\n".join(["", *words, "99_DELIM_A SEGMENT THAT NOBODY SCORED", ""]))
        for segment in segments:
            lines.append(f"{segment.start},{segment.end},{video},{segment.number},{segment.score}")
            if segment.clip:
                clip = release / "Audio" / "WAV_16000" / "Segmented" / f"{video}_{segment.number}.wav"
                tone(clip, segment.end - segment.start, 180 + 7 * segment.number)
    labels = release / "Labels"
    labels.mkdir()
    (labels / "OpinionLevelSentiment.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    return release
