"""Types shared by all corpora: rows, protocols, and the interface of a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from typing import Protocol as TypingProtocol

from mister_e.labels import LabelSet

#: Splits in their order; selection sees validation only.
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """One utterance of a raw release, as a reader returns it. The speaker is never read.

    :param conversation_id: unique over all splits.
    :param turn: order within the conversation; may have gaps.
    :param utterance_id: unique within its conversation.
    :param text: the words; None = no transcript.
    :param start: seconds in the recording or episode; None = no times.
    :param end: seconds, not before `start`.
    :param label: a label of the protocol; None = unlabelled, kept as context.
    :param split: one of `SPLITS`.
    :param audio: path relative to the source folder, or "archive.tar.gz::member"; None = missing.
    :param speech_missing: why, where `audio` is None or must not be used.
    :param features: precomputed numeric speech features; undefined ones are left out.
    :param custom: other metadata (JSON values), such as whether the turn was improvised.
    :param stretch: the seconds of `audio` that are this turn; None = all of it.
    """

    conversation_id: str
    turn: int
    utterance_id: str
    text: str | None
    start: float | None
    end: float | None
    label: str | None
    split: str
    audio: str | None
    speech_missing: str | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    stretch: tuple[float, float] | None = None


@dataclass(frozen=True)
class Protocol:
    """Labels and split by which a corpus is read and scored; stored with every corpus and score.

    :param name: such as "MELD-7".
    :param corpus: such as "meld".
    :param labels: the labels in their order.
    :param description: one sentence on the labels, the split and its conventions.
    :param expected: labelled utterances of each split in the real release; empty = not known.
    :param expected_labels: split to label to count, where they are published or were counted.
    :param expected_conversations: conversations of each split in the real release; empty = not known.
    """

    name: str
    corpus: str
    labels: LabelSet
    description: str
    expected: Mapping[str, int] = field(default_factory=dict)
    expected_labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    expected_conversations: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "name": self.name,
            "corpus": self.corpus,
            "labels": self.labels.to_json(),
            "description": self.description,
            "expected": dict(self.expected),
            "expected_labels": {split: dict(counts) for split, counts in self.expected_labels.items()},
            "expected_conversations": dict(self.expected_conversations),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Protocol:
        """Read what `to_json` wrote."""
        return cls(**{**data, "labels": LabelSet.from_json(data["labels"])})


class Reader(TypingProtocol):
    """Reads a raw release as it was downloaded."""

    def __call__(
        self, src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]
    ) -> list[Row]:
        """Read every utterance.

        :param src: folder of the raw release, or a table.
        :param protocol: which labels and split.
        :param validate_on: what to validate on where the release leaves it open.
        :param repairs: sentences on repairs and known defects are appended here.
        :return: rows, each conversation's in the order of its turns.
        :raises InputError: the release is not as expected.
        """
