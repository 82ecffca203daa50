"""Embeddings of a corpus on disk: each turn once, found again by what it depends on.

A store is a folder: `store.json` says of which corpus and by which encoders; `text/` and `speech/`
hold shards of safetensors, each with the keys of its rows. A shard is written whole or not at all,
so that a killed run loses the turns since the last one, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mister_e.conversation import Conversation
from mister_e.corpora.base import SPLITS, Protocol
from mister_e.corpora.store import Corpus
from mister_e.encoders.base import Example, UtteranceEncoder, embed_recordings, encode_batches
from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.registry import encoder_class
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.files import replacing, write_text
from mister_e.progress import Progress, silent

FORMAT = 1
METADATA = "store.json"
#: Turns in a shard at least: what a kill may lose.
SHARD = 1024


class _Row(NamedTuple):
    """What is kept of a turn: its embedding `[D]`, whether it was there, and what it was made of `[F]`."""

    embedding: Tensor
    present: bool
    features: Tensor


@dataclass(frozen=True)
class Embedded:
    """What one call did for one split: turns of each kind."""

    turns: int
    computed: int
    reused: int
    missing: int


class EmbeddingStore:
    """The embeddings of one corpus by at most one encoder a modality."""

    def __init__(self, folder: Path, metadata: dict[str, Any]) -> None:
        self.folder = folder
        self.metadata = metadata

    @classmethod
    def load(cls, folder: str | Path) -> EmbeddingStore:
        """Open a store.

        :raises InputError: it is none, or of another version.
        """
        path = Path(folder) / METADATA
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
            version = metadata["format"]
        except FileNotFoundError:
            raise InputError(f"{folder}: no store there: it has no {METADATA}; run mister-e embed") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: not written by mister-e embed; embed again elsewhere") from None
        if version != FORMAT:
            raise InputError(f"{path}: format {version}, this version reads {FORMAT}; embed again elsewhere")
        return cls(Path(folder), metadata)

    @classmethod
    def create(cls, folder: Path, corpus: Corpus) -> EmbeddingStore:
        """Open the store of a corpus, or begin it.

        :raises InputError: the folder holds embeddings of another corpus.
        """
        if (folder / METADATA).is_file():
            store = cls.load(folder)
            before, now = store.metadata["corpus_sha256"], corpus.metadata["table_sha256"]
            if before != now:
                raise InputError(
                    f"{folder}: holds embeddings of {store.protocol.name} {before[:12]}…, not of"
                    f" {corpus.protocol.name} {now[:12]}…; choose another store"
                )
            return store
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {
            "format": FORMAT,
            "protocol": corpus.protocol.to_json(),
            "corpus_sha256": corpus.metadata["table_sha256"],
            "encoders": {},
        }
        store = cls(folder, metadata)
        store._write_metadata()
        return store

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol of its corpus."""
        return Protocol.from_json(self.metadata["protocol"])

    def dim(self, modality: Modality) -> int:
        """Width of the embeddings of a modality.

        :raises InputError: it has none.
        """
        if modality not in self.metadata["encoders"]:
            raise InputError(f"{self.folder}: it holds no {modality} embeddings; run mister-e embed for them")
        return int(self.metadata["encoders"][modality]["dim"])

    def add(
        self,
        corpus: Corpus,
        encoder: UtteranceEncoder,
        *,
        name: str = "",
        shard: int = SHARD,
        progress: Progress = silent,
    ) -> dict[str, Embedded]:
        """Embed what is not there yet, in batches of like length; no turn is computed twice.

        :param corpus: that of the store.
        :param encoder: of either modality.
        :param name: what people call it.
        :param shard: turns in a shard at least.
        :param progress: told of turns, as stage "embed".
        :return: split to what was done.
        :raises InputError: the store was made by another encoder.
        """
        self._claim(encoder, name)
        splits = {split: list(corpus.conversations(split)) for split in SPLITS}
        conversations = [conversation for split in SPLITS for conversation in splits[split]]
        encoder.check_corpus(conversations)
        keys = encoder.content_keys(conversations)
        stored = set(self._rows(encoder.modality))
        before = set(stored)
        todo = []
        for example in encoder.examples(conversations):
            wanted = {key for turn in example.turns if (key := keys[turn]) is not None} - stored
            if wanted:
                stored |= wanted
                todo.append(example)
        self._compute(encoder, todo, keys, before, shard, progress)
        self._write_turns(splits, encoder.modality, keys)
        return _counted(splits, keys, before, self.present(encoder.modality))

    def conversations(self, split: str | None = None) -> Iterator[StoredConversation]:
        """Iterate over the conversations of a split; embeddings are read from the mapped shards.

        :param split: "train", "validation" or "test"; None = all of them, in this order.
        :raises InputError: there is no such split, or a turn was not embedded yet.
        """
        if split is not None and split not in SPLITS:
            raise InputError(f"there is no split {split!r}: the splits are {', '.join(SPLITS)}")
        turns = self._turns()
        if self.metadata["encoders"] and not turns:
            raise InputError(f"{self.folder}: not all is embedded; run mister-e embed again")
        for row in turns:
            if split in (None, row["split"]):
                text, has_text = self._gather("text", row)
                speech, has_speech = self._gather("speech", row)
                labels = torch.tensor(row["labels"], dtype=torch.long)
                yield StoredConversation(
                    row["id"], tuple(row["ids"]), text, speech, has_text, has_speech, labels
                )

    def turn_features(self, modality: Modality, split: str) -> tuple[Tensor, Tensor]:
        """Give what the encoder kept of each turn, from which it can be embedded in another recording.

        :param modality: turns that lack it are left out.
        :param split: "train", "validation" or "test".
        :return: float32 `[N, F]` of `UtteranceEncoder.encode_turns`, and the labels int64 `[N]` as in
            `StoredConversation`.
        :raises InputError: the store holds no such features.
        """
        self.dim(modality)
        conversations = self.conversations(split)  # which tells what is not embedded
        kind = self.metadata["encoders"][modality]["kind"]
        # of an encoder that is not relative to the recording, the features are the embeddings
        name = "features" if encoder_class(kind).recording_relative else "embeddings"
        shards: dict[Path, Tensor] = {}
        rows, labels = [], []
        turns = [turns for turns in self._turns() if turns["split"] == split]
        for conversation, own in zip(conversations, turns, strict=True):
            present = getattr(conversation, f"has_{modality}")
            for turn in present.nonzero().flatten().tolist():
                path, row = self._rows(modality)[own[modality][turn]]
                if path not in shards:
                    with safe_open(path, "pt") as shard:
                        if name not in shard.keys():  # noqa: SIM118 - a shard is no mapping
                            raise InputError(
                                f"{path}: does not hold what the encoder keeps of a turn, for an older"
                                " mister-e wrote it; embed again into a new store"
                            )
                        shards[path] = shard.get_tensor(name)
                rows.append(shards[path][row])
                labels.append(conversation.labels[turn])
        if not rows:
            raise InputError(f"{self.folder}: no turn of its {split} split has {modality}")
        return torch.stack(rows), torch.stack(labels)

    def present(self, modality: Modality) -> set[str]:
        """Keys of the turns whose modality was really there."""
        return {key for key, (shard, row) in self._rows(modality).items() if self._shard(shard)[1][row]}

    def _claim(self, encoder: UtteranceEncoder, name: str) -> None:
        """One encoder a modality; one that embedded nothing gives way."""
        before = self.metadata["encoders"].get(encoder.modality)
        if before is not None and before["identity"] != encoder.identity and self._rows(encoder.modality):
            raise InputError(
                f"{self.folder}: its {encoder.modality} embeddings were made by"
                f" {before['name'] or before['kind']} {before['identity'][:12]}…, not by"
                f" {name or encoder.kind} {encoder.identity[:12]}…; choose another store"
            )
        self.metadata["encoders"][encoder.modality] = {
            "name": name,
            "kind": encoder.kind,
            "identity": encoder.identity,
            "dim": encoder.dim,
            "config": encoder.config.model_dump(mode="json"),
        }
        self._write_metadata()

    def _compute(
        self,
        encoder: UtteranceEncoder,
        todo: Sequence[Example],
        keys: Sequence[str | None],
        stored: set[str],
        shard: int,
        progress: Progress,
    ) -> None:
        """Embed examples, and write a shard whenever there are turns for one."""
        done, seen = 0, set(stored)
        waiting: dict[str, _Row] = {}
        total = sum(len(example.turns) for example in todo)
        for chosen, features, present in encode_batches(encoder, todo):
            turns = [turn for example in chosen for turn in example.turns]
            lengths = [len(example.turns) for example in chosen]
            embeddings = embed_recordings(encoder, features, present, lengths)
            for row, turn in enumerate(turns):
                key = keys[turn]
                if key is not None and key not in seen:
                    seen.add(key)
                    waiting[key] = _Row(embeddings[row], bool(present[row]), features[row])
            done += len(turns)
            progress("embed", done, total)
            if len(waiting) >= shard:
                self._write_shard(encoder, waiting)
                waiting = {}
        if waiting:
            self._write_shard(encoder, waiting)

    def _write_shard(self, encoder: UtteranceEncoder, rows: dict[str, _Row]) -> None:
        folder = self.folder / encoder.modality
        folder.mkdir(exist_ok=True)
        number = 1 + max((int(path.stem) for path in folder.glob("*.safetensors")), default=-1)
        tensors = {
            "embeddings": torch.stack([row.embedding for row in rows.values()]),
            "present": torch.tensor([row.present for row in rows.values()]),
        }
        if encoder.recording_relative:
            # so that a turn can be put into another recording, see `training.stage2.pairing`
            tensors["features"] = torch.stack([row.features for row in rows.values()])
        with replacing(folder / f"{number:06d}.safetensors") as temporary:
            save_file(tensors, temporary, metadata={"keys": json.dumps(list(rows))})
        self.__dict__.pop("_index", None)

    def _write_turns(
        self, splits: dict[str, list[Conversation]], modality: Modality, keys: Sequence[str | None]
    ) -> None:
        """Say which rows make up which conversation."""
        labels = self.protocol.labels
        before = {(conversation["split"], conversation["id"]): conversation for conversation in self._turns()}
        rows, first = [], 0
        for split, conversations in splits.items():
            for conversation in conversations:
                last = first + len(conversation)
                row = before.get((split, conversation.id), {"split": split, "id": conversation.id})
                row["ids"] = [turn.id for turn in conversation]
                row["labels"] = [
                    -1 if turn.label is None else labels.index(turn.label) for turn in conversation
                ]
                row[modality] = list(keys[first:last])
                rows.append(row)
                first = last
        write_text(self.folder / "turns.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def _turns(self) -> list[dict[str, Any]]:
        path = self.folder / "turns.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def _gather(self, modality: Modality, conversation: dict[str, Any]) -> tuple[Tensor | None, Tensor]:
        """Rows of a conversation's turns."""
        present = torch.zeros(len(conversation["ids"]), dtype=torch.bool)
        if modality not in self.metadata["encoders"]:
            return None, present
        if modality not in conversation:
            raise InputError(f"{self.folder}: not all {modality} is embedded; run mister-e embed again")
        result = torch.zeros(len(conversation["ids"]), self.dim(modality))
        for turn, key in enumerate(conversation[modality]):
            if key is not None:
                if key not in self._rows(modality):
                    raise InputError(
                        f"{self.folder}: the {modality} embedding of conversation {conversation['id']}, turn"
                        f" {conversation['ids'][turn]} is gone; run mister-e embed again"
                    )
                shard, row = self._rows(modality)[key]
                embeddings, there = self._shard(shard)
                result[turn] = embeddings[row]
                present[turn] = there[row]
        return result, present

    @cached_property
    def _index(self) -> dict[str, dict[str, tuple[Path, int]]]:
        """For each modality, key to shard and row."""
        index: dict[str, dict[str, tuple[Path, int]]] = {"text": {}, "speech": {}}
        for modality, rows in index.items():
            for path in sorted((self.folder / modality).glob("*.safetensors")):
                try:
                    with safe_open(path, "pt") as shard:
                        keys = json.loads(shard.metadata()["keys"])
                except (SafetensorError, KeyError, TypeError, ValueError) as error:
                    raise InputError(f"{path}: damaged ({error}); remove it and embed again") from None
                rows.update({key: (path, row) for row, key in enumerate(keys)})
        self._open: dict[Path, tuple[Tensor, Tensor]] = {}
        return index

    def _rows(self, modality: Modality) -> dict[str, tuple[Path, int]]:
        return self._index[modality]

    def _shard(self, path: Path) -> tuple[Tensor, Tensor]:
        """Embeddings `[N, D]` and presence `[N]` of a shard, mapped, not read."""
        if path not in self._open:
            with safe_open(path, "pt") as shard:
                self._open[path] = (shard.get_tensor("embeddings"), shard.get_tensor("present"))
        return self._open[path]

    def _write_metadata(self) -> None:
        write_text(self.folder / METADATA, json.dumps(self.metadata, indent=1, ensure_ascii=False) + "\n")


def _counted(
    splits: dict[str, list[Conversation]], keys: Sequence[str | None], before: set[str], present: set[str]
) -> dict[str, Embedded]:
    """Count what was done for each split; a key that comes twice was computed once."""
    counts, first, seen = {}, 0, set(before)
    for split, conversations in splits.items():
        last = first + sum(len(conversation) for conversation in conversations)
        mine = [key for key in keys[first:last] if key is not None]
        computed = set(mine) - seen
        seen |= computed
        missing = last - first - sum(key in present for key in mine)
        counts[split] = Embedded(last - first, len(computed), len(mine) - len(computed), missing)
        first = last
    return counts
