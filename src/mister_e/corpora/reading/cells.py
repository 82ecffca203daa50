"""Cells of a table: those that stand for nothing, numbers as people write them, and names of classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mister_e.corpora.text import ZERO_WIDTH
from mister_e.errors import InputError

#: What programs write into a cell that is empty, in lower case.
EMPTY = frozenset(["", "nan", "-nan", "null", "none", "na", "n/a", "n.a.", "#n/a", "<na>", "<null>", "nil"])

#: Characters of a name (a column, a label, an id, a path) at most: more is text that lost its quotes.
LONGEST_NAME = 1000

_CLOCK = re.compile(r"(?:([0-9]+):(?=[0-9]+:))?([0-9]+):([0-9]{1,2}(?:[.,][0-9]+)?)")
_SIMPLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: 1.234,5 and 1,234.5: the last mark is the decimal one. 1,234,567: none is.
_POINTS_COMMA = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+")
_COMMAS_POINT = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+|[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3}){2,}")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
#: 1,250 or 1.250: a decimal mark, or one between thousands.
_EITHER = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


def is_empty(cell: str) -> bool:
    """Whether a cell stands for nothing: empty, blank, or one of `EMPTY`."""
    return cell.strip().strip(ZERO_WIDTH).strip().lower() in EMPTY


def seconds_or_number(cell: str) -> float:
    """Read one number or clock time, see `numbers`.

    :raises ValueError: it is neither; the message says what was expected.
    """
    (value,) = numbers([cell], clocks=True)
    assert value is not None
    return value


class NotANumberError(ValueError):
    """A cell is no number.

    :param place: of the cell, 0-based.
    """

    def __init__(self, place: int, expected: str) -> None:
        super().__init__(expected)
        self.place = place


def numbers(cells: Sequence[str | None], *, clocks: bool = False) -> list[float | None]:
    """Read a column of numbers, also with decimal commas.

    Whether the comma of 1,250 is a decimal one is told by the other cells of the column.

    :param cells: without spaces around them; None = empty.
    :param clocks: read 1:02.5 and 0:01:02,5 too, as seconds.
    :raises NotANumberError: the first cell that is none.
    """
    commas = any(cell and _is_decimal_comma(cell) for cell in cells)
    values: list[float | None] = []
    for place, cell in enumerate(cells):
        if cell is None:
            values.append(None)
            continue
        value = _clock(cell) if clocks and ":" in cell else _number(cell, commas=commas)
        if isinstance(value, str):
            raise NotANumberError(place, value)
        values.append(value)
    return values


def _is_decimal_comma(cell: str) -> bool:
    """Whether a cell shows that its column has decimal commas."""
    return bool(_POINTS_COMMA.fullmatch(cell) or (_COMMA.fullmatch(cell) and not _EITHER.fullmatch(cell)))


def _number(cell: str, *, commas: bool) -> float | str:
    """Read a number, or say what was expected."""
    if _EITHER.fullmatch(cell) and ("," in cell or commas):
        if commas and "," in cell:
            return float(cell.replace(",", "."))
        plain = re.sub("[.,]", "", cell)
        return f"a number; it may mean {re.sub('[.,]', '.', cell)} or {plain}, write one of these"
    if _SIMPLE.fullmatch(cell):
        return float(cell)
    if _POINTS_COMMA.fullmatch(cell):
        return float(cell.replace(".", "").replace(",", "."))
    if _COMMAS_POINT.fullmatch(cell):
        return float(cell.replace(",", ""))
    if _COMMA.fullmatch(cell):
        return float(cell.replace(",", "."))
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return float(cell)
    return "a number"


def _clock(cell: str) -> float | str:
    """Read M:SS or H:MM:SS with a fraction, or say what was expected."""
    match = _CLOCK.fullmatch(cell)
    expected = "seconds (62.5) or a clock's time (0:01:02.5)"
    if match is None:
        return expected
    hours, minutes, seconds = match[1], match[2], float(match[3].replace(",", "."))
    if seconds >= 60 or (hours is not None and float(minutes) >= 60):
        return f"{expected} below 60 minutes and seconds"
    return float(hours or 0) * 3600 + float(minutes) * 60 + seconds


def class_key(name: str) -> str:
    """What two spellings of one class share: upper and lower case and spaces do not matter."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def one_spelling(counts: Mapping[str, int], preferred: Collection[str] = ()) -> dict[str, str]:
    """Find one spelling for each class.

    :param counts: spelling to how often it occurs.
    :param preferred: spellings to choose where they fit; each of them stays itself.
    :return: spelling to the chosen one: a preferred, else that in lower case, else the most frequent.
    """
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(class_key(name), []).append(name)
    wanted = {class_key(name): name for name in reversed(list(preferred))}
    chosen = {
        key: wanted.get(key) or max(names, key=lambda name: (name == name.lower(), counts[name]))
        for key, names in groups.items()
    }
    return {name: name if name in preferred else chosen[class_key(name)] for name in counts}


def unify_classes(
    names: Sequence[str | None], notes: list[str], *, known: Collection[str] = (), what: str = "label"
) -> list[str | None]:
    """Give each class one spelling; None for cells that stand for no class.

    :param names: of the classes, row by row.
    :param notes: what was unified, and what was taken as empty, is appended here.
    :param known: labels by their names; one of them may be called "none".
    :param what: the column, for the notes.
    """
    blanks: dict[str, int] = {}
    counts: dict[str, int] = {}
    kept = {class_key(name) for name in known}
    result: list[str | None] = []
    for name in names:
        bare = None if name is None else name.strip().strip(ZERO_WIDTH).strip()
        if not bare:
            bare = None
        elif is_empty(bare) and class_key(bare) not in kept:
            blanks[bare] = blanks.get(bare, 0) + 1
            bare = None
        else:
            counts[bare] = counts.get(bare, 0) + 1
        result.append(bare)
    spelling = one_spelling(counts, known)
    if blanks:
        listed = ", ".join(f"{name} ({count:,})" for name, count in blanks.items())
        notes.append(f"{what} {listed}: stands for no class, taken as empty")
    others: dict[str, list[str]] = {}
    for name, chosen in spelling.items():
        if name != chosen:
            others.setdefault(chosen, []).append(f"{name} ({counts[name]:,})")
    for chosen, variants in others.items():
        notes.append(f"{what} {', '.join(variants)}: the same class as {chosen}")
    return [None if name is None else spelling[name] for name in result]


def file_inside(folder: Path, name: str) -> str | None:
    """Name by which a file is there: as it is written, or with slashes for backslashes; None = it is not.

    :param folder: what the name is relative to.
    """
    for candidate in dict.fromkeys((name, name.replace("\\", "/"))):
        try:
            if (folder / candidate).is_file():
                return candidate
        except (OSError, ValueError):  # too long, or with a zero byte
            continue
    return None


def check_name(name: str, where: str, what: str) -> None:
    """Refuse a name that is none by its length.

    :raises InputError: it is longer than `LONGEST_NAME`.
    """
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{where}: {what} has {len(name):,} characters ({name[:40]!r}…), expected a name;"
            " look at the quotes"
        )


def listed(names: Sequence[str], limit: int = 20) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(name if len(name) <= 100 else f"{name[:100]}…" for name in names[:limit]) + more


def refuse_cell(where: str, column: str, cell: object, expected: object) -> InputError:
    """Make the error for a cell that is not what its column holds."""
    shown = repr(cell)
    return InputError(
        f"{where}: {column} is {shown[:80]}{'…' if len(shown) > 80 else ''}, expected {expected}"
    )
