"""An analysis as subtitles: SubRip and WebVTT."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from mister_e.analysis.turns import TurnAnalysis
from mister_e.analysis.wording import marked, marked_notes, marked_words

_ARROW = re.compile(r"-+>")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def cue(turn: TurnAnalysis) -> str:
    """Text of a turn's cue: `[joy 71%] I know.`, or `[crosstalk, joy ? 34%] I know. (?)`.

    `mister_e.transcription` takes what is in brackets away again, by the percent that ends it.
    """
    marks = (*marked_notes(turn.notes, turn.language), marked(turn.emotion, uncertain=turn.uncertain))
    words = marked_words(turn.text, uncertain=turn.text_uncertain) if turn.text else ""
    return f"[{', '.join(marks)} {turn.confidence:.0%}] {words}".rstrip()


def to_srt(cues: Sequence[tuple[float, float, str]]) -> str:
    """Write SubRip subtitles.

    :param cues: (start, end, text), seconds; -> in a text becomes →, for it would read as times.
    :return: the file.
    """
    blocks = []
    for number, (start, end, text) in enumerate(cues, start=1):
        words = _ARROW.sub("→", _lines(text))
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{words}\n")
    return "\n".join(blocks)


def to_vtt(cues: Iterable[tuple[float, float, str]]) -> str:
    """Write WebVTT subtitles.

    :param cues: (start, end, text), seconds; the text is escaped.
    :return: the file.
    """
    blocks = ["WEBVTT\n"]
    for start, end, text in cues:
        words = html.escape(_lines(text), quote=False)
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{words}\n")
    return "\n".join(blocks)


def _lines(text: str) -> str:
    """Text without blank lines, which would end the cue, and without control characters."""
    lines = (" ".join(line.split()) for line in _CONTROL.sub(" ", text.replace("\r", "\n")).split("\n"))
    return "\n".join(line for line in lines if line)


def _clock(time: float, point: str) -> str:
    """Seconds as HH:MM:SS and milliseconds after `point`."""
    rest, milliseconds = divmod(round(time * 1000), 1000)
    minutes, secs = divmod(rest, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{secs:02}{point}{milliseconds:03}"
