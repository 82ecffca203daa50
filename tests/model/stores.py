"""A small embedding store written by hand, whose embeddings tell the labels, with noise."""

import json

import torch
from safetensors.torch import save_file

from mister_e.encoders.store import EmbeddingStore
from mister_e.training.recipe import read_recipe

LABELS = ("sad", "glad", "mad")
TEXT_DIM, SPEECH_DIM = 8, 6

RECIPE = """\
name: small
mixture:
  model:
    {hidden: 8, gru_layers: 1, gru_hidden: 4, fusion_dim: 8, fusion_blocks: 1, attention_dim: 6}
  loss: {gamma: 1.0, contrastive: 0.1}
  train: {epochs: 2, learning_rate: 1.0e-2, checkpoint_every: 3, trackers: []}
seeds: [0, 1]
"""


def small_recipe(folder, *changes):
    """Read the recipe above, from a file in a folder, with changes over it."""
    path = folder / "small.yaml"
    path.write_text(RECIPE)
    return read_recipe(path, changes)


def make_store(
    folder,
    *,
    talks=12,
    turns=7,
    strength=2.0,
    label=None,
    edit=None,
    modalities=("text", "speech"),
    sizes=None,
):
    """Write a store of `talks` conversations a split.

    `label(split, random)` draws a label; `edit(split, talk, turn, modality, row)` may change an
    embedding, and gives None where the modality is missing.
    """
    random = torch.Generator().manual_seed(0)
    dims = {"text": TEXT_DIM, "speech": SPEECH_DIM}
    if label is None:

        def label(split, random):
            return int(torch.randint(len(LABELS), (1,), generator=random))

    folder.mkdir(parents=True)
    shards = {modality: {} for modality in modalities}
    rows = []
    for split in ("train", "validation", "test"):
        for talk in range(talks):
            length = turns if sizes is None else sizes[talk % len(sizes)]
            conversation = {
                "split": split,
                "id": f"{split}-{talk}",
                "ids": [f"u{turn}" for turn in range(length)],
            }
            conversation["labels"] = [label(split, random) for _ in range(length)]
            for modality in modalities:
                conversation[modality] = []
                for turn, number in enumerate(conversation["labels"]):
                    row = torch.randn(dims[modality], generator=random)
                    row[max(number, 0)] += strength
                    if edit is not None:
                        row = edit(split, talk, turn, modality, row)
                    key = f"{modality}-{split}-{talk}-{turn}"
                    conversation[modality].append(None if row is None else key)
                    if row is not None:
                        shards[modality][key] = row
            rows.append(conversation)
    for modality, stored in shards.items():
        (folder / modality).mkdir()
        tensors = {
            "embeddings": torch.stack(list(stored.values())),
            "present": torch.ones(len(stored), dtype=torch.bool),
        }
        metadata = {"keys": json.dumps(list(stored))}
        save_file(tensors, folder / modality / "000000.safetensors", metadata=metadata)
    protocol = {"name": "talks-3", "corpus": "talks", "labels": list(LABELS), "description": "made up"}
    encoders = {
        "text": {"name": "words", "kind": "text", "identity": "t" * 64, "config": {"base": "minilm-l6"}},
        "speech": {"name": "features", "kind": "features", "identity": "s" * 64, "config": {}},
    }
    facts = {
        "format": 1,
        "protocol": protocol,
        "corpus_sha256": "c" * 64,
        "encoders": {one: {**encoders[one], "dim": dims[one]} for one in modalities},
    }
    (folder / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "store.json").write_text(json.dumps(facts))
    return EmbeddingStore.load(folder)
