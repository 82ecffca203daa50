"""Which turns are crosstalk: several people speak at once in much of them."""

from __future__ import annotations

from mister_e.conversation import CROSSTALK, NO_WORDS

#: Fraction of a turn in which several speak at once, as the network of `mister_e.transcription.voices` tells
#: it, from which the turn is crosstalk. Chosen by `benchmarks/confidence.py` on joined clips: precision of at
#: least 0.7 for turns in which several voices are heard 40 % of the time that anybody is.
MOST_OVERLAPPED = 0.4


def is_crosstalk(overlapped: float | None) -> bool:
    """Tell whether a turn is crosstalk.

    What the recogniser says of its words does not help: of the turns that it doubts fewer than half are
    crosstalk, the others are noise, laughter, or another language.

    :param overlapped: fraction of the turn in which several speak at once, 0 to 1; None = not known, and then
        it is none.
    """
    return overlapped is not None and overlapped >= MOST_OVERLAPPED


def turn_notes(overlapped: float | None, *, wordless: bool) -> tuple[str, ...]:
    """Notes on what a turn is.

    :param overlapped: as for `is_crosstalk`.
    :param wordless: words were looked for and none were found.
    :return: of `mister_e.conversation.TURN_NOTES`, in their order.
    """
    return (*((CROSSTALK,) if is_crosstalk(overlapped) else ()), *((NO_WORDS,) if wordless else ()))
