"""JSON Lines as rows of text: one object a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mister_e.corpora.reading.cells import check_name
from mister_e.corpora.reading.delimited import Record, read_text
from mister_e.errors import InputError
from mister_e.files import writable


def read_json_lines(path: Path, notes: list[str]) -> tuple[list[str], list[Record]]:
    """Read one JSON object a line; blank lines are passed over.

    Values are text as in CSV; null is an empty cell. Half characters (lone surrogates) become U+FFFD.

    :param notes: sentences on what was read otherwise than written are appended here.
    :return: all fields in the order of first occurrence, and the rows.
    :raises InputError: a line is no object of texts, numbers and truth values.
    """
    records: list[Record] = []
    columns: dict[str, None] = {}
    mended = 0
    row = 0
    # not splitlines: a text may hold the other ends of lines that Unicode has
    for line, text in enumerate(re.split(r"\r\n?|\n", read_text(path, notes)), 1):
        if not text.strip():
            continue
        row += 1
        where = f"{path}, row {row}, line {line}"
        try:
            values = json.loads(text.strip().removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            reason = (
                "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", error)
            )
            raise InputError(
                f"{where}: cannot be read as jsonl ({reason}); write one object a line"
            ) from None
        if not isinstance(values, dict):
            raise InputError(f'{where}: expected an object such as {{"text": "Hello."}}')
        cells = {}
        for key, value in values.items():
            cell = _cell(value, f"{where}: {key[:40]!r}")
            check_name(key, where, "a field")
            name = writable(key.replace("\0", "\ufffd"))
            cells[name] = writable(cell)
            mended += (name, cells[name]) != (key, cell)
        columns |= dict.fromkeys(cells)
        records.append(Record(row, line, cells))
    if mended:
        notes.append(f"{path.name}: {mended:,} cells with half a character, which became U+FFFD")
    return list(columns), records


def _cell(value: Any, where: str) -> str:
    """One value as CSV would hold it.

    :raises InputError: it is a list or an object.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").strip()
    if isinstance(value, (int, float)):
        return repr(value)
    raise InputError(f"{where} is {'an object' if isinstance(value, dict) else 'a list'}, expected one value")
