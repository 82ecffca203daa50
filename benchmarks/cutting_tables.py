"""Tables of `cutting.json` and `confidence.json`: printed by this, put into docs/ by `tables.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Parts of `cutting.json`, and what they are called.
PARTS = {
    "reporting": "joined clips of unseen voices",
    "meetings": "excerpts of meetings",
    "sample": "the sample conversation",
}
#: Columns of where recordings are cut.
COLUMNS = {
    "two_voices": "two voices, %",
    "changes_found": "changes found, %",
    "median_turn": "median turn, s",
    "short_turns": "turns < 0.8 s, %",
    "turns_a_minute": "turns a minute",
    "cpu": "CPU s per s",
}
#: Columns of the emotions.
EMOTIONS = {
    "right": "right, % of time",
    "right_in_turns": "of time in turns",
    "right_macro": "mean over emotions",
    "right_overlapped": "where voices overlap",
    "ece": "ECE",
}


def cutting(result: Mapping[str, Any]) -> str:
    """Tables of the ways of cutting: where, what it does to emotions, and to words."""
    lines = [_row("recordings", "cut at", *COLUMNS.values()), _rule(2 + len(COLUMNS))]
    for part, name in PARTS.items():
        for way, scores in result.get(part, {}).items():
            lines.append(_row(name, way, *(_cell(scores[column]) for column in COLUMNS)))
    lines += ["", _row("joined clips, judged by", "cut at", *EMOTIONS.values()), _rule(2 + len(EMOTIONS))]
    for part, name in (("choosing", "validation voices"), ("reporting", "test voices")):
        for kind, judge in (("emotions", "words and sound"), ("by voice", "sound alone")):
            for way, scores in result.get(part, {}).items():
                cells = (_cell(scores[kind][column]) for column in EMOTIONS)
                lines.append(_row(f"{name}: {judge}", way, *cells))
    if context := result.get("context"):
        ways = list(context["val"])
        lines += ["", _row("MELD's words, weighted F1 of whole turns", *ways), _rule(1 + len(ways))]
        for split, name in (("val", "validation"), ("test", "test")):
            lines.append(_row(name, *(_cell(context[split].get(way, {}).get("mean")) for way in ways)))
    return "\n".join(lines)


def confidence(results: Mapping[str, Any]) -> str:
    """Table of the calibration of turns that carry a note, and of the note on crosstalk."""
    lines = [
        _row("model", "turns", "number", "temperature", "ECE before", "ECE after"),
        _rule(6),
    ]
    for model, result in results.items():
        factor = f"times {result['calibration']['crosstalk']}"
        for name, temperature in (
            ("wordless", str(result["calibration"]["wordless"])),
            ("crosstalk", factor),
        ):
            if name not in result:
                continue
            row = result[name]
            cells = (_cell(row["before"]), _cell(row["after"]))
            lines.append(_row(model, name, str(row["turns"]), temperature, *cells))
    noted = [result["rule"] for result in results.values() if "rule" in result]
    if noted:  # the note is that of no model
        lines += [
            "",
            _row("note `crosstalk`", "turns", "of several", "noted", "precision", "recall"),
            _rule(6),
        ]
        for name, row in noted[0].items():
            counts = (str(row[count]) for count in ("turns", "crosstalk", "noted"))
            lines.append(_row(name, *counts, _cell(row["precision"]), _cell(row["recall"])))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    """The line below the heads of columns."""
    return "|" + "---|" * columns


def _cell(value: float | None) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:g}"


def main() -> None:
    """Print the tables of what was measured."""
    folder = Path(__file__).parent
    for name, table in (("cutting", cutting), ("confidence", confidence)):
        path = folder / f"{name}.json"
        if path.is_file():
            print(table(json.loads(path.read_text(encoding="utf-8"))), end="\n\n")


if __name__ == "__main__":
    main()
