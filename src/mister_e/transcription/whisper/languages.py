"""The languages of a recording: what its longer turns say decides for the short and the doubtful ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

#: In place of a language's code: that which is spoken.
AUTO = "auto"

#: A turn tells its language by itself if it is so long (s), and a language so probable. Of such pieces of
#: acted and read sentences in Polish and English Whisper base takes one in a hundred for another language, of
#: pieces of Polish below a second more than half.
_SECONDS, _PROBABILITY = 1.5, 0.9
#: A language is one of the recording from this share of the time of such turns on: a call in two languages
#: keeps both, and one turn that is taken for Welsh does not make others Welsh.
_SHARE = 0.1


def normalised(code: str, known: Collection[str]) -> str:
    """The code that a recogniser knows a language by.

    :param code: in any case, maybe with a script or region, such as "EN", "en-US" or "zh_Hant_TW".
    :param known: codes that the recogniser knows.
    :return: one of them, or `AUTO`; `code` as it is where it is none of them.
    """
    plain = code.strip().lower()
    return next(
        (found for found in (plain, re.split("[-_.]", plain)[0]) if found in (AUTO, *known)),
        code,
    )


class Languages:
    """The languages of one recording as it goes; what is kept does not grow with it."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._evidence: dict[str, float] = {}

    def decide(self, lengths: Sequence[float], heard: Sequence[Mapping[str, float]]) -> list[str]:
        """Decide the languages of the next turns.

        A turn of some length in which a language is probable is in that. Any other is in that one of the
        recording's languages, which such turns tell, that is most probable in it; while they tell of none, in
        the one that is most probable over all turns.

        :param lengths: seconds of each turn.
        :param heard: of each turn the probability of each language, by code.
        :return: their codes.
        """
        own = [
            _likeliest(found) if seconds >= _SECONDS and max(found.values()) >= _PROBABILITY else None
            for seconds, found in zip(lengths, heard, strict=True)
        ]
        for seconds, found, told in zip(lengths, heard, own, strict=True):
            if told is not None:
                self._told[told] = self._told.get(told, 0.0) + seconds
            for code, probability in found.items():
                self._evidence[code] = self._evidence.get(code, 0.0) + seconds * probability
        spoken = self._spoken()
        return [
            told or _likeliest({code: found.get(code, 0.0) for code in spoken})
            for told, found in zip(own, heard, strict=True)
        ]

    def _spoken(self) -> list[str]:
        """The languages of the recording so far, the most spoken first."""
        whole = sum(self._told.values())
        spoken = [code for code, seconds in self._told.items() if seconds >= _SHARE * whole]
        spoken.sort(key=lambda code: -self._told[code])
        return spoken or ([_likeliest(self._evidence)] if self._evidence else [])


def _likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable language; of equal ones the first."""
    return max(probabilities, key=lambda code: probabilities[code])
