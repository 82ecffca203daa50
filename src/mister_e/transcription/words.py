"""The words of turns: without who says them, and without what is heard but not said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

from mister_e.analysis.wording import WORDS_MARK
from mister_e.conversation import has_words
from mister_e.transcription.encoding import without_lone_surrogates
from mister_e.transcription.readers.rows import MOST_CHARACTERS, Faults, Row

#: In a file of fewer turns nothing tells a name from a word before a colon.
_FEWEST_TURNS = 3
#: Words before a colon that are no names, however often they stand there.
_NO_NAMES = frozenset(
    re.findall(
        r"\w+",
        """note ps update warning remember honestly look listen well so but and yes no okay ok anyway example
        question answer important reminder plus also first second third finally then now today tomorrow
        yesterday fact seriously basically obviously conclusion summary result reason problem step todo""",
    )
)
#: Names are at the beginning of a line, and no longer than this, in characters and in words.
_LONGEST_NAME, _MOST_NAME_WORDS = 48, 5

_SPACES = re.compile(r"\s+")
# a dash or >> before another person's words
_NEW_SPEAKER = re.compile(r"\s*(?:>{2,}|[-\u2013\u2014\u2022](?=\s)|[-\u2013\u2014](?=[^\W\d]))\s*")
_TIME_OF_SPEAKER = re.compile(r"\s{0,3}[(\[]\d{1,2}(?::\d{2}){1,2}[)\]]")
_LABEL = re.compile(
    r"(?:spkr?|speaker|participant|agent|customer|caller|client|operator|interviewer|interviewee|patient|doctor"
    r"|therapist|counsel+or|host|guest|man|woman|boy|girl|narrator|student|teacher|moderator|person|user|unknown)"
    r"(?:[ _-]?\d{1,3}|[ _-][A-Za-z]|[ _-]speaker)?",
    re.IGNORECASE,
)
#: What tells a label from a word of the same letters, as "Speaker 1" and "spk_0".
_NUMBERED = re.compile(r"\d|_|^spkr?$", re.IGNORECASE)
_PARTICLES = frozenset(
    {"de", "da", "van", "von", "der", "den", "di", "la", "le", "al", "bin", "el", "y", "of"}
)

#: What stands before the words of cues that this package wrote.
_OWN_LABEL = re.compile(r"\[[^\[\]\n]{1,80} \d{1,3}%\](?:\s+|$)")
# brackets before a colon may hold a name
_BRACKETS = re.compile(r"\[[^\[\]]{0,80}\](?!\s{0,3}:)|【[^【】]{0,80}】")
_ASIDE = re.compile(r"\(([^()]{1,60})\)|\*([^*]{1,60})\*|<([^<>]{1,30})>")
_SOUND = re.compile(
    r"\b(?:(?:laugh|chuckle|giggle|sigh|gasp|groan|moan|sob|weep|whimper|cough|sneeze|sniff|sniffle|snort|snore|yawn"
    r"|inhale|exhale|scream|shout|yell|whisper|mumble|mutter|hum|clap|cheer|whistle|beep|ring|knock|slam|chatter"
    r"|pause|breathe)(?:s|es|d|ed)?"
    r"|(?:laugh|chuckl|giggl|sigh|gasp|groan|moan|sobb|weep|whimper|cough|sneez|sniff|sniffl|snort|snor|yawn|cry"
    r"|inhal|exhal|scream|shout|yell|whisper|mumbl|mutter|humm|clapp|cheer|whistl|beep|ring|knock|sing|breath"
    r"|chatter|clear)ing"
    r"|laughter|cries|applause|music|sings|silence|inaudible|unintelligible|indistinct|unclear"
    r"|crosstalk|cross talk|noise|static|clears? throat|foreign|unk|sil|spn|nsn"
    r"|media omitted|blank_audio|no speech"
    r"|(?:bark|screech|rumbl|creak|buzz|honk|growl|howl|chim|ticking|thud|crash|bang)(?:s|es|ing)?"
    r"|gun ?shots?|gunfire|thunder|explosions?|footsteps|sirens?"
    r"|(?:speaks|speaking) [A-Z][a-z]+"
    r"|in (?:[A-Z][a-z]+(?:ish|ese|ian)|French|German|Arabic|Mandarin|Hindi))\b",
)
_SAID = re.compile(r"\b(?:i|i'm|you|we|me|my|us|your|our)\b", re.IGNORECASE)
_MOST_SOUND_WORDS = 5
_NOTES = "♩♪♫♬♭♮♯🎵🎶🎼"
_WITHOUT_NOTES = str.maketrans(dict.fromkeys(_NOTES, " "))
_FOOTER = re.compile(
    r"(?:transcri(?:bed|pt(?:ion)?)|subtitles?|subtitled|captions?|captioned|synced|sync)"
    r"(?: and [a-z]{1,20})?(?: (?:created|corrected|provided|generated|made))? (?:by|from|with|on)\b"
    r".{0,60}(?:https?://|www\.|\.(?:com|org|net|ai|io|tv)\b).{0,80}",
    re.IGNORECASE,
)


def spoken(rows: Sequence[Row], faults: Faults) -> list[Row]:
    """Rows with the words that are said in them; those without words are left out.

    Names at the beginning of lines, as "Mara Quill:", "spk_0:", "MAN:", ">>", and what no voice says,
    as "♪", "[applause]", "(sighs)", are dropped. Capitalised words before a colon are names where several
    lines begin so, and in no file of one or two turns.

    :param rows: in their order.
    :param faults: told of rows that hold something, but no words, of names that no label tells, and of lone
        surrogates.
    """
    rows = [_as_written(row) for row in rows if _is_short(row, faults)]
    # a line of lyrics stands in many rows: it is cleaned once, and its name counts once
    texts = {(row.where, row.text): row for row in rows}
    lines = [() if row.verbatim else tuple(_said(row.text).split("\n")) for row in texts.values()]
    heads = [[_head(line) for line in of_row] for of_row in lines]
    names = _names(lines, heads)
    cleaned: dict[tuple[str, str], str | None] = {}
    halves = []
    for (key, row), of_row, heads_of_row in zip(texts.items(), lines, heads, strict=True):
        text = row.text
        if not row.verbatim:
            text = "\n".join(map(_without_name, of_row, heads_of_row, repeat(names)))
        whole = without_lone_surrogates(text)
        if whole != text:
            halves.append(row.where)
        whole = _SPACES.sub(" ", whole).strip()
        cleaned[key] = whole if has_words(whole) else None
    found = Counter(head[0] for of_row in heads for head in of_row if head and head[0] in names)
    # labels and full names that stand there again are no guess
    sure = {name for name in found if _LABEL.fullmatch(name) or (" " in name and found[name] > 1)}
    if guessed := [name for name in found.elements() if name not in sure]:
        # which, a note does not tell: it stands in results, and who speaks does not
        faults.remark(f"words before a colon were taken for names and left out of {len(guessed)} lines")
    kept, mute = [], []
    for row in rows:
        if (whole_or_none := cleaned[row.where, row.text]) is not None:
            name = row.id if row.id is None else without_lone_surrogates(row.id)
            kept.append(replace(row, text=whole_or_none, id=name))
        elif row.text.strip():
            mute.append(row.where)
    if halves:
        faults.remark(f"half a character (a lone surrogate) was replaced by � in {_listed(halves)}")
    if mute:
        turns = "1 turn without words was" if len(mute) == 1 else f"{len(mute)} turns without words were"
        faults.remark(f"{turns} left out (marks, music, sounds, names): {_listed(mute)}")
    return kept


def _as_written(row: Row) -> Row:
    """A cue of this package, as "[joy 71%] I know. (?)", as the words that were written, and their mark."""
    label = None if row.verbatim or row.text[:1] != "[" else _OWN_LABEL.match(row.text)
    if not label:
        return row
    words = row.text[label.end() :].rstrip()
    if not words:
        return row
    uncertain = words.endswith(f" {WORDS_MARK}")
    return replace(
        row,
        text=words.removesuffix(WORDS_MARK) if uncertain else words,
        verbatim=True,
        text_uncertain=uncertain or row.text_uncertain,
    )


def _is_short(row: Row, faults: Faults) -> bool:
    """Whether a row is not too long to be a turn; one that is costs itself."""
    if len(row.text) <= MOST_CHARACTERS:
        return True
    reason = f"has {len(row.text)} characters, a turn has at most {MOST_CHARACTERS}; cut it into turns"
    faults.leave_out(row.where, reason)
    return False


def _listed(places: Sequence[str], most: int = 5) -> str:
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more


def _head(line: str) -> tuple[str, int] | None:
    """What stands before a colon as after a name, and where the words begin; None = no such colon."""
    if ":" not in line[: 3 * _LONGEST_NAME]:
        return None
    place = _beginning(line)
    start = line[place : place + 2 * _LONGEST_NAME]
    time = _TIME_OF_SPEAKER.search(start) if "(" in start or "[" in start else None
    before = start[: time.start()] if time and ":" not in start[: time.start()] else start.partition(":")[0]
    rest = start[time.end() :] if time and len(before) == time.start() else start[len(before) :]
    if not rest.startswith(":") or not (len(rest) == 1 or rest[1].isspace()):
        return None
    name = " ".join(before.strip().removeprefix("[").removesuffix("]").split())
    if (
        not name
        or len(name) > _LONGEST_NAME
        or len(name.split()) > _MOST_NAME_WORDS
        or set(name) & set(',;!?"')
    ):
        return None
    return name, place + len(start) - len(rest) + 1


def _names(
    lines: Sequence[Sequence[str]], heads: Sequence[Sequence[tuple[str, int] | None]]
) -> frozenset[str]:
    """Which beginnings of the lines of all rows are names of speakers.

    One beginning alone is words: several lines have to begin in its manner. In a file of one or two turns
    only labels, as "spk_0" and "MAN", are names, and those that every line has.
    """
    counts = Counter(head[0] for of_row in heads for head in of_row if head)
    said = sum(1 for of_row in lines for line in of_row if line and not line.isspace())
    labels = [name for name in counts.elements() if _LABEL.fullmatch(name)]
    numbered = {name for name in labels if _NUMBERED.search(name) or name.isupper()}
    if sum(any(line.strip() for line in of_row) for of_row in lines) < _FEWEST_TURNS:
        return frozenset(labels if 1 < len(labels) == said else numbered)
    likely = [name for name in counts.elements() if name.lower() not in _NO_NAMES and name not in numbered]
    most = len(likely) + len(numbered) > 1 and 2 * counts.total() >= said
    full = [name for name in likely if _is_capitalised(name) and " " in name]
    capitals = [name for name in likely if name.isupper() and len(name) > 1]
    again = {name for name in likely if _is_capitalised(name) and counts[name] > 1}
    names = {*labels}
    names |= {*full} if len(full) > 1 else set()
    names |= {*capitals} if len(capitals) > 1 else set()
    names |= again if len(again) > 1 and 4 * sum(counts[name] for name in again) >= said else set()
    if most:
        names |= {name for name in likely if _is_capitalised(name) or counts[name] > 1}
    return frozenset(names)


def _is_capitalised(name: str) -> bool:
    """Whether every word begins like that of a name."""
    words = [word.strip("()[]'\u2019.") for word in name.split() if word not in _PARTICLES]
    first = words[:1] and words[0][:1].isupper()
    return (
        bool(first)
        and len(name) > 1
        and all(word[:1].isupper() or word.isdecimal() for word in words if word)
    )


def _without_name(line: str, head: tuple[str, int] | None, names: frozenset[str]) -> str:
    """A line without the name or the mark of who says it."""
    if head and head[0] in names:
        return line[head[1] :]
    return line[_beginning(line) :]


def _beginning(line: str) -> int:
    """Where a line begins after blanks and the mark of another person's words."""
    if line[:1].isalnum():
        return 0
    mark = _NEW_SPEAKER.match(line)
    return mark.end() if mark else len(line) - len(line.lstrip())


def _said(text: str) -> str:
    """A text without what is heard but not said."""
    if _FOOTER.fullmatch(text.strip()[:200]):
        return ""
    text = _BRACKETS.sub(" ", text.translate(_WITHOUT_NOTES) if set(text) & set(_NOTES) else text)
    return _ASIDE.sub(lambda aside: " " if _is_sound(aside[1] or aside[2] or aside[3]) else aside[0], text)


def _is_sound(aside: str) -> bool:
    """Whether words in brackets tell a sound, and are not said themselves."""
    words = aside.split()
    if len(words) > _MOST_SOUND_WORDS or _SAID.search(aside):
        return False
    return _SOUND.search(aside) is not None or _SOUND.search(aside.lower()) is not None
