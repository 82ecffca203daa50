"""IEMOCAP, read from its full release. The speaker is dropped while reading.

The release names its clips after the speaker (`…_F000.wav`). Where audio is "none", a corpus refers to these
files, so `Row.audio` keeps such a name: as a place to read sound from, by which nothing is sorted, numbered,
hashed into a split or computed. With audio extracted, no such name is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mister_e.corpora import build
from mister_e.corpora.base import Protocol, Row
from mister_e.corpora.extraction.archives import is_litter
from mister_e.corpora.releases.folds import folds, is_happy_by_convention
from mister_e.corpora.releases.layout import check_rows_whole, folder, locate
from mister_e.corpora.store import Corpus
from mister_e.corpora.text import lines
from mister_e.errors import InputError
from mister_e.labels import LabelSet

_SIX = ("hap", "sad", "neu", "ang", "exc", "fru")
_FOUR = _SIX[:4]

#: Annotations that are a class of no task.
_UNLABELLED = frozenset({"sur", "fea", "dis", "oth", "xxx"})

_SESSIONS = range(1, 6)

_TURN = re.compile(
    r"\[(?P<start>\d+\.?\d*)\s*-\s*(?P<end>\d+\.?\d*)\]\s+(?P<name>\S+)\s+(?P<emotion>\w+)"
    r"\s+\[(?P<valence>[\d.]+),\s*(?P<arousal>[\d.]+),\s*(?P<dominance>[\d.]+)\]"
)
_WORDS = re.compile(r"(?P<name>Ses\d\d\S+)\s+\[[\d.\s-]+\]:\s*(?P<text>.*)")


@dataclass(frozen=True)
class _Task:
    """A classification task: which annotations make which classes.

    :param classes: annotation to class; the others are unlabelled.
    :param ties: count as happy the 53 turns that the ERC literature does, without a majority of annotators.
    :param counts: conversations validated on, then split, to turns of each class in the order of the labels.
    """

    description: str
    classes: Mapping[str, str]
    ties: bool
    counts: Mapping[str, Mapping[str, tuple[int, ...]]]

    @property
    def labels(self) -> LabelSet:
        """Classes in their order."""
        return LabelSet(tuple(dict.fromkeys(self.classes.values())))


_TASKS = {
    "IEMOCAP-6": _Task(
        "six emotions",
        {label: label for label in _SIX},
        True,
        {
            "erc": {
                "train": (451, 771, 1221, 831, 593, 1296),
                "validation": (53, 68, 103, 102, 149, 172),
                "test": (144, 245, 384, 170, 299, 381),
            },
            "session1": {
                "train": (361, 645, 940, 704, 599, 1188),
                "validation": (143, 194, 384, 229, 143, 280),
                "test": (144, 245, 384, 170, 299, 381),
            },
        },
    ),
    "IEMOCAP-4-merged": _Task(
        "four emotions, 5,531 turns: exc merged into hap, fru left out",
        {label: label for label in _FOUR} | {"exc": "hap"},
        False,
        {
            "erc": {
                "train": (993, 771, 1221, 831),
                "validation": (201, 68, 103, 102),
                "test": (442, 245, 384, 170),
            },
            "session1": {
                "train": (916, 645, 940, 704),
                "validation": (278, 194, 384, 229),
                "test": (442, 245, 384, 170),
            },
        },
    ),
    "IEMOCAP-4": _Task(
        "four emotions, 4,490 turns: exc and fru both left out",
        {label: label for label in _FOUR},
        False,
        {
            "erc": {
                "train": (400, 771, 1221, 831),
                "validation": (52, 68, 103, 102),
                "test": (143, 245, 384, 170),
            },
            "session1": {
                "train": (317, 645, 940, 704),
                "validation": (135, 194, 384, 229),
                "test": (143, 245, 384, 170),
            },
        },
    ),
}

_VALIDATION = {
    "erc": "validation: 12 dialogues of Sessions 1-4 (the ERC split)",
    "session1": "validation: Session 1",
}

#: Of 151 dialogues, every one has a turn with a label of each task.
_DIALOGUES = {
    "erc": {"train": 108, "validation": 12, "test": 31},
    "session1": {"train": 92, "validation": 28, "test": 31},
}


@dataclass(frozen=True)
class _Convention:
    """A task, what it is validated on, and whether unlabelled turns stay as context."""

    task: _Task
    validate_on: str
    context: bool


def _conventions() -> Iterator[tuple[str, _Convention]]:
    """Yield every combination under its name."""
    for name, task in _TASKS.items():
        for validate_on in _VALIDATION:
            for context in (False, True):
                parts = (name, *(["session1"] * (validate_on == "session1")), *(["context"] * context))
                yield "-".join(parts), _Convention(task, validate_on, context)


def _protocol(name: str, convention: _Convention) -> Protocol:
    """Describe a convention."""
    task = convention.task
    counts = {
        split: dict(zip(task.labels, row, strict=True))
        for split, row in task.counts[convention.validate_on].items()
    }
    parts = (
        task.description,
        "test: Session 5",
        _VALIDATION[convention.validate_on],
        f"unlabelled turns {'kept as context' if convention.context else 'left out'}",
    )
    return Protocol(
        name=name,
        corpus="iemocap",
        labels=task.labels,
        description="; ".join(parts),
        expected={split: sum(row.values()) for split, row in counts.items()},
        expected_labels=counts,
        expected_conversations=_DIALOGUES[convention.validate_on],
    )


_CONVENTIONS = dict(_conventions())

#: Every named way to read the corpus.
PROTOCOLS: Mapping[str, Protocol] = {
    name: _protocol(name, convention) for name, convention in _CONVENTIONS.items()
}


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    protocol: str = "IEMOCAP-6",
    validate_on: str | None = None,
    **options: Any,
) -> Corpus:
    """Prepare IEMOCAP.

    :param src: `IEMOCAP_full_release`, or a folder that holds it.
    :param out: the corpus folder to write.
    :param protocol: a name of `PROTOCOLS`.
    :param validate_on: "erc" or "session1": the protocol of this name that validates there.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: the folder is not IEMOCAP, or not whole.
    """
    chosen = build.named(PROTOCOLS, protocol)
    wanted = _CONVENTIONS[chosen.name]
    if validate_on is not None:
        wanted = _validating_on(wanted, validate_on)
        chosen = next(PROTOCOLS[name] for name, convention in _CONVENTIONS.items() if convention == wanted)
    options.setdefault(
        "sources", tuple(f"{above}Session[1-5]/dialog/*/Ses*.txt" for above in ("", "*/", "*/*/"))
    )
    return build.prepare(src, out, read, chosen, validate_on=wanted.validate_on, **options)


def read(src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]) -> list[Row]:
    """Read `IEMOCAP_full_release`, each dialogue's turns by their start.

    Turns are called `<dialogue>_<number>`, the same in every protocol, as the release's names say who speaks.

    :param src: the release, or a folder that holds it.
    :param protocol: one of `PROTOCOLS`.
    :param validate_on: "erc" or "session1"; None = as the protocol says.
    :param repairs: what was mended or is missing is appended here.
    :raises InputError: the release is not as expected.
    """
    convention = _CONVENTIONS[protocol.name]
    if validate_on is not None:
        convention = _validating_on(convention, validate_on)
    first = locate(src, "Session[1-5]", "IEMOCAP")
    spoken = any(first.parent.glob("Session[1-5]/sentences/wav/*/Ses*.wav"))
    rows: list[Row] = []
    for number in _SESSIONS:
        session = folder(first.with_name(f"Session{number}"), "IEMOCAP")
        evaluations = folder(session / "dialog" / "EmoEvaluation", "IEMOCAP")
        dialogues = sorted(path for path in evaluations.glob("*.txt") if not is_litter(path.name))
        if not dialogues:
            raise InputError(f"{evaluations}: has no .txt; the release is half extracted, extract it again")
        for dialogue in dialogues:
            if spoken:
                folder(session / "sentences" / "wav" / dialogue.stem, "IEMOCAP")
            rows += _dialogue(src, session, dialogue, convention, repairs)
    check_rows_whole(first.parent, rows, repairs)
    return rows


def _validating_on(convention: _Convention, validate_on: str) -> _Convention:
    """Copy of a convention with another validation split."""
    if validate_on not in _VALIDATION:
        raise InputError(f"cannot validate on {validate_on!r}: choose {' or '.join(_VALIDATION)}")
    return replace(convention, validate_on=validate_on)


def _dialogue(
    src: Path, session: Path, evaluation: Path, convention: _Convention, repairs: list[str]
) -> Iterator[Row]:
    """Read one dialogue: annotations, words and the place of each turn's sound."""
    dialogue = evaluation.stem
    split = _split(dialogue, convention.validate_on)
    words = _transcript(folder(session / "dialog" / "transcriptions", "IEMOCAP") / evaluation.name)
    clips = session / "sentences" / "wav" / dialogue
    turns = _annotations(evaluation)
    # never by name, which tells the speaker
    turns.sort(key=lambda turn: (float(turn["start"]), float(turn["end"]), words.get(turn["name"], "")))
    for number, turn in enumerate(turns):
        start, end, emotion = float(turn["start"]), float(turn["end"]), turn["emotion"]
        row_id = f"{dialogue}_{number:03d}"
        label = convention.task.classes.get(emotion)
        if convention.task.ties and emotion in _UNLABELLED and is_happy_by_convention(dialogue, start):
            label = "hap"
        if label is None and not convention.context:
            continue
        text = words.get(turn["name"]) or None
        if text is None:
            repairs.append(f"{row_id}: has no words in its transcript; text is missing")
        clip = clips / f"{turn['name']}.wav"
        missing = None if clip.is_file() else "the release has no clip of it"
        yield Row(
            conversation_id=dialogue,
            turn=number,
            utterance_id=row_id,
            text=text,
            start=start,
            end=end,
            label=label,
            split=split,
            audio=None if missing else clip.relative_to(src).as_posix(),
            speech_missing=missing,
            custom={
                "improvised": "impro" in dialogue,
                "annotated": emotion,
                **{name: float(turn[name]) for name in ("valence", "arousal", "dominance")},
            },
        )


def _split(dialogue: str, validate_on: str) -> str:
    """Split of a dialogue, by its session and the convention."""
    session = dialogue[:5]
    if session == "Ses05":
        return "test"
    validated = (
        session == "Ses01" if validate_on == "session1" else dialogue in folds("iemocap")["erc_validation"]
    )
    return "validation" if validated else "train"


def _annotations(path: Path) -> list[Mapping[str, str]]:
    """Read the line that sums up each turn; the annotators' own lines below it are skipped.

    :return: start, end, name, emotion, valence, arousal and dominance, as written.
    """
    turns: list[Mapping[str, str]] = []
    for number, line in enumerate(lines(path), 1):
        if not line.startswith("["):
            continue
        match = _TURN.match(line)
        if match is None:
            raise InputError(
                f"{path}, line {number}: expected [start - end], name, emotion,"
                f" [valence, arousal, dominance]; got {line[:80]!r}"
            )
        emotion = match["emotion"]
        if emotion not in _UNLABELLED and emotion not in _SIX:
            known = ", ".join([*_SIX, *sorted(_UNLABELLED)])
            raise InputError(f"{path}, line {number}: unknown label {emotion!r}; IEMOCAP has {known}")
        turns.append(match.groupdict())
    return turns


def _transcript(path: Path) -> dict[str, str]:
    """Read name to words; other lines (remarks, back channels without a name) are skipped."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; the release of IEMOCAP is half extracted, extract it again")
    matches = map(_WORDS.match, lines(path))
    return {match["name"]: match["text"].strip() for match in matches if match}
