"""Readers of XML: TTML (also DFXP, IMSC and EBU-TT) and ELAN's EAF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row, time_of

_DEEPEST, _MOST_ELEMENTS = 100, 1_000_000
_CLOCK = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)(?::(\d{1,3})(?:\.\d{1,3})?)?")
_OFFSET = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(h|m|s|ms|f|t)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def looks_like_ttml(text: str) -> bool:
    """Tell whether a text is TTML."""
    return re.search(r"<(?:\w{1,20}:)?tt[\s>]", text[:2000]) is not None


def looks_like_eaf(text: str) -> bool:
    """Tell whether a text is ELAN's."""
    return "<ANNOTATION_DOCUMENT" in text[:2000]


def _parsed(text: str) -> Element:
    """XML as elements without namespaces; entities are not expanded and nothing else is opened.

    :raises InputError: it is not well-formed, declares entities, or is nested too deeply.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _DEEPEST or elements > _MOST_ELEMENTS:
            raise InputError(
                f"line {parser.CurrentLineNumber}: is nested too deeply, or has too many elements"
            )
        element = builder.start(_local(name), {_local(key): value for key, value in attributes.items()})
        element.set("line ", str(parser.CurrentLineNumber))  # no attribute of XML has a space

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def refuse(*_: Any) -> int:
        raise InputError(
            f"line {parser.CurrentLineNumber}: declares entities, which are not read; take them out"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        # what the file says of its encoding is past: it is text already
        parser.Parse(re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text).encode(), True)
        return builder.close()
    except expat.ExpatError as error:
        raise InputError(f"line {error.lineno}: not XML ({expat.ErrorString(error.code)})") from error
    except InputError:
        raise
    except (AssertionError, ValueError) as error:
        raise InputError(f"not XML ({error})") from error


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition(" ")[2]


def _where(element: Element) -> str:
    return f"line {element.get('line ')}"


def read_ttml(text: str, faults: Faults) -> Iterator[Row]:
    """Read TTML: each `p` that has times is a turn, or its spans are where they have the times.

    :param text: the file.
    :param faults: told of turns whose times cannot be read.
    :raises InputError: it is not TTML, or not XML that is read.
    """
    root = _parsed(text)
    body = root.find("body")
    if root.tag != "tt" or body is None:
        raise InputError("has no <tt> with a <body>; expected TTML")
    clock = _Clock(root)
    yield from _timed(body, clock, 0.0, None, faults)


class _Clock:
    """Reads the times of one TTML file, which says how long frames and ticks are."""

    def __init__(self, root: Element) -> None:
        rate, multiplier, ticks = (
            root.get(name, default)
            for name, default in (("frameRate", "30"), ("frameRateMultiplier", "1 1"), ("tickRate", ""))
        )
        try:
            top, bottom = (float(part) for part in multiplier.replace(":", " ").split())
            self._frames = float(rate) * top / bottom
            self._ticks = float(ticks or self._frames)
            if not (0.1 < self._frames < 1e4 and 0.1 < self._ticks < 1e12):
                raise ValueError
        except (ValueError, ZeroDivisionError):
            raise InputError(
                "its frameRate, frameRateMultiplier or tickRate is no number of a second"
            ) from None

    def seconds(self, element: Element, name: str) -> float | None:
        """Time of an attribute; None = there is none."""
        time = element.get(name)
        if time is None:
            return None
        time = time.strip()
        if match := _CLOCK.fullmatch(time):
            frames = int(match[4] or 0) / self._frames
            return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) + frames
        if match := _OFFSET.fullmatch(time):
            unit = {**_UNITS, "f": 1 / self._frames, "t": 1 / self._ticks}[match[2]]
            return float(match[1]) * unit
        raise InputError(f"{name} is {time[:40]!r}; write 00:00:01.500 or 1.5s")


def _timed(element: Element, clock: _Clock, begin: float, end: float | None, faults: Faults) -> Iterator[Row]:
    """Turns of an element; its times count from the begin of what it stands in."""
    try:
        own_begin, own_end, length = (clock.seconds(element, name) for name in ("begin", "end", "dur"))
    except InputError as error:
        faults.leave_out(_where(element), str(error))
        return
    start = begin + (own_begin or 0.0)
    stop = begin + own_end if own_end is not None else end
    if length is not None:
        stop = min(start + length, stop) if own_end is not None and stop is not None else start + length
    children = [child for child in element if child.tag in ("body", "div", "p", "span")]
    spans = element.tag == "p" and any("begin" in child.attrib for child in children)
    if element.tag in ("p", "span") and not spans:
        if own_begin is None and own_end is None and length is None and end is None:
            faults.leave_out(_where(element), "has no begin and end")
        else:
            yield Row(_where(element), "".join(_words(element)), start, stop)
        return
    for child in children:
        yield from _timed(child, clock, start, stop, faults)


def _words(element: Element) -> Iterator[str]:
    """Words of an element and of what stands in it, but for what is said about them."""
    yield " ".join((element.text or "").split("\n"))
    for child in element:
        if child.tag == "br":
            yield "\n"
        elif child.tag != "metadata":
            yield from _words(child)
        yield " ".join((child.tail or "").split("\n"))


def read_eaf(text: str, faults: Faults) -> Iterator[Row]:
    """Read ELAN: each annotation of the tiers that stand for themselves is a turn.

    Tiers that annotate others (translations, words, glosses), and names of tiers and participants, are
    passed over. A boundary without a time is placed evenly between its neighbours, as ELAN does.

    :param text: the file.
    :param faults: told of annotations that cannot be read.
    :raises InputError: it is not ELAN's, or not XML that is read.
    """
    root = _parsed(text)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError("has no <ANNOTATION_DOCUMENT>; expected a file of ELAN")
    times = _slots(root, faults)
    for tier in root.iter("TIER"):
        if tier.get("PARENT_REF"):
            continue
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = (times.get(annotation.get(f"TIME_SLOT_REF{side}", "")) for side in (1, 2))
            if start is None or end is None:
                faults.leave_out(_where(annotation), "names no TIME_SLOT that has a time")
                continue
            yield Row(_where(annotation), annotation.findtext("ANNOTATION_VALUE") or "", start, end)


def _slots(root: Element, faults: Faults) -> dict[str, float]:
    """Seconds of each time slot, in the file's order."""
    slots: list[tuple[str, float | None]] = []
    for slot in root.iter("TIME_SLOT"):
        try:
            time = time_of(slot.get("TIME_VALUE"), "TIME_VALUE", unit=0.001)
        except InputError as error:
            faults.leave_out(_where(slot), str(error))
            time = None
        slots.append((slot.get("TIME_SLOT_ID", ""), time))
    known = [place for place, (_, time) in enumerate(slots) if time is not None]
    placed = {name: time for name, time in slots if time is not None}
    for before, after in pairwise(known):
        first, last = slots[before][1] or 0.0, slots[after][1] or 0.0
        for place in range(before + 1, after):
            placed[slots[place][0]] = first + (last - first) * (place - before) / (after - before)
    return placed
