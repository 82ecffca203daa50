"""The protocol of a score: corpus, split, mode, encoders and versions; stored with every score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mister_e.corpora.base import Protocol
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.version import installed_versions


@dataclass(frozen=True)
class ScoreProtocol:
    """How a score was made.

    :param corpus: protocol of the corpus: labels, how they map, and the convention of the splits.
    :param split: the split that was scored; "all" = the data has no splits.
    :param mode: what the model was shown: "full", "past-only", "text-only" or "speech-only".
    :param seeds: of the training, one model each; none = a model folder was scored.
    :param corpus_sha256: SHA-256 of the corpus's table.
    :param encoders: modality to name, kind, identity and embedding dimension of its encoder.
    :param versions: of Python and of the packages that can change a score.
    :param selection: where epochs, settings and the temperature were chosen; nothing chooses on test.
    """

    corpus: Protocol
    split: str
    mode: str
    seeds: tuple[int, ...]
    corpus_sha256: str
    encoders: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    selection: str = "validation"

    @classmethod
    def of_store(
        cls, store: EmbeddingStore, split: str, *, mode: str = "full", seeds: Sequence[int]
    ) -> ScoreProtocol:
        """Protocol of a score on a split of a store."""
        encoders = {
            modality: {name: encoder[name] for name in ("name", "kind", "identity", "dim")}
            for modality, encoder in store.metadata["encoders"].items()
        }
        digest = store.metadata["corpus_sha256"]
        return cls(store.protocol, split, mode, tuple(seeds), digest, encoders)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "corpus": self.corpus.to_json(),
            "corpus_sha256": self.corpus_sha256,
            "split": self.split,
            "selection": self.selection,
            "mode": self.mode,
            "seeds": list(self.seeds),
            "encoders": {modality: dict(encoder) for modality, encoder in self.encoders.items()},
            "versions": dict(self.versions),
        }


def check_scorable(store: EmbeddingStore, splits: Sequence[str]) -> None:
    """Refuse, before anything is trained, a store with a split that nothing can be scored on.

    :raises InputError: names the split.
    """
    for split in splits:
        if not any(
            ((conversation.labels >= 0) & (conversation.has_text | conversation.has_speech)).any()
            for conversation in store.conversations(split)
        ):
            raise InputError(
                f"{store.folder}: no turn of the {split} split has a label and text or speech: nothing to"
                " score; prepare the corpus with such turns"
            )
