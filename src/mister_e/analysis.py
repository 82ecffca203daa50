"""What a model says about conversations: per turn an emotion, how sure, and which expert it trusted."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.uncertainty import marked

if TYPE_CHECKING:
    import polars as pl

#: The three experts, in the order of every `[.., 3]` axis.
EXPERTS = ("speech", "text", "fusion")

Scores = Mapping[str, float]

#: Fields of a turn that are columns of a table as they are.
_TURN_COLUMNS = ("id", "start", "end", "channel", "text", "emotion", "confidence", "uncertain")


@dataclass(frozen=True)
class TurnAnalysis:
    """What the model says about one turn.

    :param id: the utterance's id.
    :param start: seconds from the start of the recording, or None.
    :param end: seconds, or None.
    :param channel: channel it was cut from, or None.
    :param text: the words, or None.
    :param emotion: the label with the highest score.
    :param confidence: the calibrated score of that label, 0 to 1.
    :param scores: calibrated probability of each label; they sum to 1.
    :param experts: probabilities of each expert; None for an expert that had nothing to judge.
    :param gate: weight of each expert; they sum to 1, exactly 0 for an expert that is None.
    :param missing: the modalities that this turn lacks, of "speech" and "text".
    :param uncertain: the confidence is below the model's `uncertain_below`; the emotion is its best guess.
    """

    id: str
    start: float | None
    end: float | None
    channel: int | None
    text: str | None
    emotion: str
    confidence: float
    scores: Scores
    experts: Mapping[str, Scores | None]
    gate: Scores
    missing: tuple[str, ...] = ()
    uncertain: bool = False

    @property
    def trusted(self) -> str:
        """The expert with the largest gate weight."""
        return max(EXPERTS, key=lambda name: self.gate[name])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict, fields in the documented order."""
        return {
            "id": self.id,
            "start": self.start,
            "end": self.end,
            "channel": self.channel,
            "text": self.text,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "scores": dict(self.scores),
            "experts": {name: None if p is None else dict(p) for name, p in self.experts.items()},
            "gate": dict(self.gate),
            "missing": list(self.missing),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TurnAnalysis:
        """Read what `to_json` wrote."""
        values = dict(data)
        values["missing"] = tuple(values.get("missing", ()))
        return cls(**values)


@dataclass(frozen=True)
class ConversationAnalysis:
    """The turns of one conversation, judged.

    :param id: name of the conversation, unique within an analysis (`unique_ids`).
    :param source: path of the recording or transcript, or None.
    :param duration: seconds, or None without a recording.
    :param utterances: one `TurnAnalysis` a turn, in order.
    :param notes: what a reader should know, for example that no speech was found.
    :param waveform: loudness over the recording for drawing, 0 to 1, evenly spaced; not in JSON.
    """

    id: str
    source: str | None
    duration: float | None
    utterances: tuple[TurnAnalysis, ...]
    notes: tuple[str, ...] = ()
    waveform: tuple[float, ...] = field(default=(), repr=False, compare=False)

    def __iter__(self) -> Iterator[TurnAnalysis]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "id": self.id,
            "source": self.source,
            "duration": self.duration,
            "utterances": [turn.to_json() for turn in self.utterances],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConversationAnalysis:
        """Read what `to_json` wrote."""
        return cls(
            data["id"],
            data["source"],
            data["duration"],
            tuple(TurnAnalysis.from_json(turn) for turn in data["utterances"]),
            tuple(data.get("notes", ())),
        )


def unique_names(sources: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Names of conversations that differ: the first keeps its own, an equal one takes its file's.

    :param sources: of each conversation its name and its file, if it has one.
    :return: `cut`, `cut.mp4`, `cut-2`, `cut-3`, … for equal names.
    """
    taken: set[str] = set()
    for name, source in sources:
        full = Path(source).name if source else name
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        free = next(one for one in itertools.chain((name, full), numbered) if one not in taken)
        taken.add(free)
        yield free


def unique_ids(conversations: Iterable[ConversationAnalysis]) -> tuple[ConversationAnalysis, ...]:
    """Give each conversation of a run an id of its own, as `unique_names` tells."""
    several = tuple(conversations)
    names = unique_names((conversation.id, conversation.source) for conversation in several)
    return tuple(replace(conversation, id=name) for conversation, name in zip(several, names, strict=True))


@dataclass(frozen=True)
class FailedInput:
    """An input that could not be analysed, and why."""

    source: str
    error: str

    def to_json(self) -> dict[str, str]:
        """JSON-ready dict."""
        return {"source": self.source, "error": self.error}


@dataclass(frozen=True)
class Analysis:
    """Everything one run says: conversations judged, inputs that failed, and by which model.

    :param version: version of mister-e.
    :param model: identity of the model: `name` and what its folder says of itself.
    :param labels: the emotions it can tell.
    :param conversations: one result a readable input.
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

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict, the documented layout."""
        return {
            "mister_e": self.version,
            "model": dict(self.model),
            "labels": self.labels.to_json(),
            "conversations": [conversation.to_json() for conversation in self.conversations],
            "errors": [failed.to_json() for failed in self.errors],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """JSON text, the documented layout (docs/output.md)."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Analysis:
        """Read what `to_json` wrote.

        :raises InputError: it is not JSON, or not of this layout; the message names the line or field.
        """
        from mister_e.layout import check

        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"line {error.lineno}: not JSON ({error.msg})") from error
        check(data)
        return cls(
            data["mister_e"],
            data["model"],
            LabelSet.from_json(data["labels"]),
            tuple(ConversationAnalysis.from_json(row) for row in data["conversations"]),
            tuple(FailedInput(**row) for row in data["errors"]),
        )

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
                rows.append(row)
        return rows

    def columns(self) -> list[str]:
        """Names of the columns of `rows`, also when there is no turn."""
        scores = [f"score_{label}" for label in self.labels]
        gate = [f"gate_{expert}" for expert in EXPERTS]
        return ["conversation", "source", *_TURN_COLUMNS, *scores, *gate, "missing"]

    def to_csv(self) -> str:
        """CSV text with a header, one row a turn."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), lineterminator="\n")
        writer.writeheader()
        # as in JSON, not as Python writes it
        writer.writerows(row | {"uncertain": "true" if row["uncertain"] else "false"} for row in self.rows())
        return text.getvalue()

    def to_jsonl(self) -> str:
        """One JSON object a line, one line a turn, each with its conversation and source."""
        lines = []
        for conversation in self.conversations:
            for turn in conversation:
                row = {"conversation": conversation.id, "source": conversation.source, **turn.to_json()}
                lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        return "".join(lines)

    def to_srt(self) -> str:
        """SubRip subtitles: each turn's text after its emotion, with ` ?` where that is uncertain.

        :raises InputError: more than one conversation, or a turn without times.
        """
        from mister_e.audio.subtitles import to_srt

        return to_srt(self._cues())

    def to_vtt(self) -> str:
        """WebVTT subtitles: each turn's text after its emotion, with ` ?` where that is uncertain.

        :raises InputError: more than one conversation, or a turn without times.
        """
        from mister_e.audio.subtitles import to_vtt

        return to_vtt(self._cues())

    def to_html(self, path: str | Path | None = None, *, embed_audio: bool = False) -> str:
        """Self-contained report that opens offline.

        :param path: also write the page there.
        :param embed_audio: put every recording that can be read into the page, so that a click on
            a turn plays it.
        :return: the page.
        """
        from mister_e.report import render

        page = render(self, embed_audio=embed_audio)
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
        schema |= dict.fromkeys(["start", "end", "confidence", *numbers], pl.Float64)
        schema |= {"channel": pl.Int64, "uncertain": pl.Boolean}
        return pl.DataFrame(rows, schema=schema)

    def _cues(self) -> list[tuple[float, float, str]]:
        """Return (start, end, text) of the only conversation's turns."""
        if len(self.conversations) != 1:
            raise InputError(f"subtitles hold one conversation, this analysis has {len(self.conversations)}")
        cues = []
        for turn in self:
            if turn.start is None or turn.end is None:
                raise InputError(f"subtitles need times: turn {turn.id} has none; use json or csv")
            label = f"[{marked(turn.emotion, uncertain=turn.uncertain)} {turn.confidence:.0%}]"
            cues.append((turn.start, turn.end, f"{label} {turn.text}" if turn.text else label))
        return cues
