"""Which turns are crosstalk: several people speak at once in much of them."""

from __future__ import annotations

from mister_e.conversation import CROSSTALK, NO_WORDS

#: Overlap of a turn, see `VoiceMarks.overlapped`, from which it is crosstalk. Chosen on joined clips of
#: validation voices; `benchmarks/confidence.py` scores it by turns with several voices for at least 40 % of
#: the time that anybody is heard.
LEAST_OVERLAPPED = 0.15


def is_crosstalk(overlapped: float | None) -> bool:
    """Tell whether a turn is crosstalk.

    What the recogniser says of its words does not help: of the turns that it doubts fewer than half are
    crosstalk, the others are noise, laughter, or another language.

    :param overlapped: see `VoiceMarks.overlapped`; None = not known, and then it is none.
    """
    return overlapped is not None and overlapped >= LEAST_OVERLAPPED


def turn_notes(overlapped: float | None, *, wordless: bool) -> tuple[str, ...]:
    """Notes on what a turn is.

    :param overlapped: as for `is_crosstalk`.
    :param wordless: words were looked for and none were found.
    :return: of `mister_e.conversation.TURN_NOTES`, in their order.
    """
    return (*((CROSSTALK,) if is_crosstalk(overlapped) else ()), *((NO_WORDS,) if wordless else ()))
