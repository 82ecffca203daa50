"""Reader of cuts in a TextGrid of Praat: every interval that is not empty."""

from __future__ import annotations

from mister_e.errors import InputError
from mister_e.transcription.cuts.intervals import Interval, interval
from mister_e.transcription.readers.rows import Faults
from mister_e.transcription.readers.textgrid import is_tier_of_sounds, is_tier_of_words, read_tiers

#: Labels of intervals in which nobody speaks, as Praat and forced aligners write them.
_SILENT = frozenset(
    (
        "silent",
        "silence",
        "sil",
        "<sil>",
        "sp",
        "<p:>",
        "<p>",
        "<eps>",
        "#",
        "pause",
        "non-speech",
        "nonspeech",
    )
)


def read_grid(text: str, faults: Faults) -> list[Interval]:
    """Read the intervals of all tiers.

    Tiers of words and of sounds cut finer than turns: they are read only if there is no other, and words that
    follow each other are one interval then.

    :param text: the file, lines ending in a newline.
    :param faults: told of intervals that cannot be read, and of those that are silent.
    :raises InputError: it is no TextGrid, or has no tier of intervals.
    """
    tiers = [(name, rows) for name, rows, of_intervals in read_tiers(text, faults) if of_intervals]
    if not tiers:
        raise InputError(
            "has no tier of intervals, only of points; expected intervals in which somebody speaks"
        )
    filled = [(name, rows) for name, rows in tiers if rows]
    whole = [rows for name, rows in filled if not (is_tier_of_words(name) or is_tier_of_sounds(name))]
    words = [rows for name, rows in filled if is_tier_of_words(name) and not is_tier_of_sounds(name)]
    chosen = whole or words or [rows for _, rows in filled]
    if len(chosen) < len(filled):
        faults.remark(
            f"tiers of words or sounds, which cut finer than turns, passed over: {len(filled) - len(chosen)}"
        )
    intervals: list[Interval] = []
    silent = 0
    for number, rows in enumerate(chosen):
        for row in rows:
            label = row.text.strip()
            if label.casefold() in _SILENT:
                silent += 1
                continue
            assert row.start is not None
            assert row.end is not None
            try:
                # words of a tier are of one voice, as intervals of one label are
                voice = number if chosen is words else (number, label)
                intervals.append(interval(row.where, row.start, row.end, voice))
            except InputError as error:
                faults.leave_out(row.where, str(error))
    if silent:
        faults.remark(f"{silent} intervals that are marked as silent were left out")
    return intervals
