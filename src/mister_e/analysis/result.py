"""The result of an analysis, and its text in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK
from mister_e.errors import InputError
from mister_e.experts import EXPERTS
from mister_e.files import readable, writable
from mister_e.labels import LabelSet

if TYPE_CHECKING:
    import polars as pl


#: Fields of a turn that are columns of a table as they are.
_TURN_COLUMNS = ("id", "start", "end", "channel", "text", "emotion", "confidence", "uncertain")

#: Those that came later stand last, so that the columns of former versions keep their places.
_LATER_COLUMNS = ("asr_confidence", "text_uncertain", "language", "notes")

#: How a text begins that spreadsheets run, or may after what they trim; the last four are of full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Analysis:
    """The result of a run: conversations, inputs that failed, and the model.

    :param version: version of mister-e.
    :param model: identity of the model: `name` and what its folder says of itself.
    :param labels: the emotions that the model can tell.
    :param conversations: the results of the inputs that could be read, in the order given.
    :param errors: the inputs that could not be analysed.
    """

    version: str
    model: Mapping[str, Any]
    labels: LabelSet
    conversations: tuple[ConversationAnalysis, ...]
    errors: tuple[FailedInput, ...] = ()

    def __iter__(self) -> Iterator[TurnAnalysis]:
        """Iterate over the turns of all conversations."""
        for conversation in self.conversations:
            yield from conversation

    def __len__(self) -> int:
        return sum(len(conversation) for conversation in self.conversations)

    @property
    def uncertain_below(self) -> float | None:
        """The confidence, 0 to 1, below which turns are uncertain; None where the model does not say."""
        limit = self.model.get("uncertain_below")
        return limit if isinstance(limit, (int, float)) and not isinstance(limit, bool) else None

    def to_dict(self, *, words: bool = False) -> dict[str, Any]:
        """JSON-ready dict, the documented layout.

        :param words: with the times of the words of every turn.
        """
        return {
            "mister_e": self.version,
            "model": dict(self.model),
            "labels": self.labels.to_json(),
            "conversations": [conversation.to_json(words=words) for conversation in self.conversations],
            "errors": [failed.to_json() for failed in self.errors],
        }

    def to_json(self, indent: int | None = 2, *, words: bool = False) -> str:
        """JSON text, the documented layout (docs/output.md).

        :param words: with the times of the words of every turn.
        """
        return writable(
            json.dumps(self.to_dict(words=words), ensure_ascii=False, indent=indent, allow_nan=False)
        )

    @classmethod
    def from_json(cls, text: str) -> Analysis:
        """Read what `to_json` wrote.

        :raises InputError: it is not JSON, or not of this layout; the message names the line or field.
        """
        from mister_e.analysis.schema import read

        layout = read(text)
        labels = LabelSet.from_json(layout.labels)
        return cls(layout.mister_e, layout.model, labels, layout.conversations, layout.errors)

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a turn: `score_<label>`, `gate_<expert>` and the turn's own fields."""
        rows = []
        for conversation in self.conversations:
            for turn in conversation:
                row: dict[str, Any] = {"conversation": conversation.id, "source": conversation.source}
                row |= {name: getattr(turn, name) for name in _TURN_COLUMNS}
                row |= {f"score_{label}": turn.scores[label] for label in self.labels}
                row |= {f"gate_{expert}": turn.gate[expert] for expert in EXPERTS}
                row["missing"] = " ".join(turn.missing)
                row |= {name: getattr(turn, name) for name in _LATER_COLUMNS}
                row["notes"] = ", ".join(turn.notes)
                rows.append({k: readable(v) if isinstance(v, str) else v for k, v in row.items()})
        return rows

    def columns(self) -> list[str]:
        """Names of the columns of `rows`, also when there is no turn."""
        scores = [f"score_{label}" for label in self.labels]
        gate = [f"gate_{expert}" for expert in EXPERTS]
        return ["conversation", "source", *_TURN_COLUMNS, *scores, *gate, "missing", *_LATER_COLUMNS]

    def to_csv(self) -> str:
        """CSV text with a header, one row a turn; a text that a spreadsheet would run begins with '.

        `to_json` and `to_dataframe` have the exact words.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), lineterminator="\n")
        writer.writerow({name: _harmless(name) for name in self.columns()})
        # as in JSON, not as Python writes it
        writer.writerows(
            {
                name: str(cell).lower() if isinstance(cell, bool) else _harmless(cell)
                for name, cell in row.items()
            }
            for row in self.rows()
        )
        return text.getvalue()

    def to_jsonl(self, *, words: bool = False) -> str:
        """One JSON object a line, one line a turn, each with its conversation and source.

        :param words: with the times of the words of every turn.
        """
        lines = []
        for conversation in self.conversations:
            for turn in conversation:
                names = {"conversation": conversation.id, "source": conversation.source}
                row = {name: value and readable(value) for name, value in names.items()} | turn.to_json(
                    words=words
                )
                lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        return writable("".join(lines))

    def to_srt(self) -> str:
        """SubRip subtitles: each turn's text after its notes and emotion, with ` ?` where that is uncertain.

        :raises InputError: more than one conversation, or a turn without times.
        """
        from mister_e.analysis.subtitles import to_srt

        return readable(to_srt(self._cues()))

    def to_vtt(self) -> str:
        """WebVTT subtitles: each turn's text after its notes and emotion, with ` ?` where that is uncertain.

        :raises InputError: more than one conversation, or a turn without times.
        """
        from mister_e.analysis.subtitles import to_vtt

        return readable(to_vtt(self._cues()))

    def to_html(self, path: str | Path | None = None, *, embed_audio: bool = False) -> str:
        """Self-contained report that opens offline.

        :param path: also write the page there.
        :param embed_audio: put every recording that can be read into the page, so that a click on
            a turn plays it.
        :return: the page.
        """
        from mister_e.analysis.html import render

        page = readable(
            render(
                self.conversations,
                tuple(self.labels),
                self.model,
                self.errors,
                version=self.version,
                uncertain_below=self.uncertain_below,
                embed_audio=embed_audio,
            )
        )
        if path is not None:
            from mister_e.files import write_text

            write_text(path, page)
        return page

    def to_dataframe(self) -> pl.DataFrame:
        """Polars table, one row a turn, columns as in `to_csv`."""
        import polars as pl

        rows = self.rows()
        numbers = [c for c in self.columns() if c.startswith(("score_", "gate_"))]
        schema: dict[str, Any] = dict.fromkeys(self.columns(), pl.String)
        schema |= dict.fromkeys(["start", "end", "confidence", "asr_confidence", *numbers], pl.Float64)
        schema |= {"channel": pl.Int64, "uncertain": pl.Boolean, "text_uncertain": pl.Boolean}
        return pl.DataFrame(rows, schema=schema)

    def _cues(self) -> list[tuple[float, float, str]]:
        """Return (start, end, text) of the only conversation's turns."""
        if len(self.conversations) != 1:
            raise InputError(f"subtitles hold one conversation, this analysis has {len(self.conversations)}")
        from mister_e.analysis.subtitles import cue

        cues = []
        for turn in self:
            if turn.start is None or turn.end is None:
                raise InputError(f"subtitles need times: turn {turn.id} has none; use json or csv")
            if turn.end > LONGEST_CLOCK:
                raise InputError(
                    f"subtitles hold no such time: turn {turn.id} ends at {turn.end:g} s; use json"
                )
            cues.append((turn.start, turn.end, cue(turn)))
        return cues


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a text that begins like one gets a ' before it."""
    if not isinstance(cell, str):
        return cell
    # a carriage return, which the writer does not quote, would end the row
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
