"""Where sentences end among written words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

#: Words with a full stop that ends no sentence.
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        """mr mrs ms mx dr prof st sr jr rev hon gen col capt lt sgt messrs mt ft vs etc vol fig eq
        approx dept est inc ltd co corp jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu
        thur thurs fri e.g i.e a.m p.m cf al""",
    )
)
# a full stop, a question or exclamation mark, or those of Chinese, Arabic, Urdu and Hindi, before quotes and
# brackets that close
_END = re.compile(
    r"[.!?\u2026\u3002\uff0e\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965]+[\"'\u2019\u201d»)\]]*$"
)
_ELLIPSIS = re.compile(r"(\.{2,}|\u2026)[\"'\u2019\u201d»)\]]*$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+", re.UNICODE)


def ends_sentence(word: str, following: str | None = None) -> bool:
    """Tell whether a sentence ends with a word.

    An ellipsis ends none: who trails off may go on. Nor do abbreviations ("Dr.") and initials.

    :param word: with its punctuation.
    :param following: the word after it; None = there is none.
    """
    if not _END.search(word) or _ELLIPSIS.search(word):
        return False
    bare = word.rstrip("\"'\u2019\u201d»)]")
    if not bare.endswith("."):
        return True
    if bare[:-1].lstrip("\"'\u2018\u201c«([").lower() in _ABBREVIATIONS:
        return following is None
    if _INITIALS.fullmatch(bare) and bare.lower() != "i.":
        return following is None
    return not (following and following[:1].islower())


def sentences(words: Sequence[str], min_words: int = 1) -> list[range]:
    """Divide words into sentences.

    :param words: W of them, each with its punctuation.
    :param min_words: shorter sentences stay with the one after them, or the last with the one before it.
    :return: the places of the words of each, in order; W = 0 gives none.
    """
    begins, ends = [0], []
    for place, word in enumerate(words):
        last = place + 1 == len(words)
        if last or (place + 1 - begins[-1] >= min_words and ends_sentence(word, words[place + 1])):
            ends.append(place + 1)
            begins.append(place + 1)
    if len(ends) > 1 and ends[-1] - ends[-2] < min_words:
        del ends[-2]
    return [range(first, last) for first, last in pairwise([0, *ends])]
