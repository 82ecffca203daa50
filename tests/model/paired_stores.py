"""Small stores written by hand, of words and of clips, by the real speech encoder of the bundled model.

What the encoder keeps of a clip tells its label, with noise; no sound is decoded.
"""

import json

import torch
from safetensors.torch import save_file
from stores import LABELS, TEXT_DIM, small_recipe

from mister_e.encoders.base import embed_recordings
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.encoders.store import EmbeddingStore

SPEECH_DIM = 6
PAIRING = (
    "mixture.pairing={singles: 20, neutral_recordings: 3, neutral_corpora: [reading]}",
    "seeds=[0]",
)


def paired_recipe(folder, *changes):
    """Read the small recipe with a `pairing:` section."""
    return small_recipe(folder, *PAIRING, *changes)


def make_encoder(seed=0):
    """Make a speech encoder with random weights after its pretrained base."""
    torch.manual_seed(seed)
    return WhisperEncoder.from_base(WhisperEncoderConfig(rank=1, embedding_dim=SPEECH_DIM, classes=3)).eval()


def pooled_states(encoder, labels, random):
    """What the encoder keeps of clips `[N, F]`: states that tell the label, and statistics."""
    # every third number is of one label, so that any projection can tell them
    states = torch.randn(len(labels), encoder.pool.width, generator=random)
    for row, label in zip(states, labels, strict=True):
        row[label::3] += 1.0
    return torch.cat([states, torch.full((len(labels), 8), 50.0)], -1)


def write_store(folder, encoder, name, conversations, *, text=None, keep_features=True, labels=LABELS):
    """Write a store of speech embeddings.

    `conversations`: (split, id, labels, features `[T, F]` or None without speech), `text`: (split,
    id) to embeddings `[T, D]`.
    """
    folder.mkdir(parents=True)
    rows, stored, features, words = [], {}, {}, {}
    for split, id_, numbers, kept in conversations:
        keys = [f"{split}-{id_}-{turn}" for turn in range(len(numbers))]
        row = {"split": split, "id": id_, "ids": [str(turn) for turn in range(len(numbers))]}
        row |= {"labels": list(numbers), "speech": [None] * len(numbers) if kept is None else keys}
        if kept is not None:
            there = torch.ones(len(kept), dtype=torch.bool)
            embeddings = embed_recordings(encoder, kept, there, [len(kept)])
            stored |= dict(zip(keys, embeddings, strict=True))
            features |= dict(zip(keys, kept, strict=True))
        if text is not None:
            row["text"] = [f"text-{key}" for key in keys]
            words |= dict(zip(row["text"], text[split, id_], strict=True))
        rows.append(row)
    speech = {"name": "voice", "kind": "whisper", "identity": encoder.identity, "dim": encoder.dim}
    encoders = {"speech": {**speech, "config": encoder.config.model_dump(mode="json")}}
    _write_shard(folder / "speech", stored, features if keep_features else None)
    if text is not None:
        _write_shard(folder / "text", words)
        encoders["text"] = {"name": "words", "kind": "text", "identity": "t" * 64, "dim": TEXT_DIM}
        encoders["text"]["config"] = {"base": "minilm-l6"}
    protocol = {"name": name, "corpus": "clips", "labels": list(labels), "description": f"Of {name}."}
    metadata = {"format": 1, "protocol": protocol, "corpus_sha256": name[0] * 64, "encoders": encoders}
    (folder / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "store.json").write_text(json.dumps(metadata))
    return EmbeddingStore.load(folder)


def make_clips(folder, encoder, name, clips=12, *, only=None, **options):
    """Write a store of clips, each a conversation of one turn; `only` = the one label that all have."""
    random = torch.Generator().manual_seed(len(name))
    conversations = []
    for split in ("train", "validation", "test"):
        labels = [only if only is not None else number % len(LABELS) for number in range(clips)]
        kept = pooled_states(encoder, labels, random)
        conversations += [
            (split, f"{name}{number}", [label], kept[number : number + 1])
            for number, label in enumerate(labels)
        ]
    return write_store(folder, encoder, name, conversations, **options)


def make_words(folder, encoder, talks=10, turns=6):
    """Write a store of conversations: words that tell the label, and statistics without sound."""
    random = torch.Generator().manual_seed(0)
    conversations, text = [], {}
    for split in ("train", "validation", "test"):
        for talk in range(talks):
            labels = torch.randint(len(LABELS), (turns,), generator=random).tolist()
            rows = torch.randn(turns, TEXT_DIM, generator=random)
            rows[range(turns), labels] += 1.5
            kept = pooled_states(encoder, labels, random)
            kept[:, : encoder.pool.width] = torch.nan  # the sound itself is missing
            kept[:, encoder.pool.width :] += torch.randn(turns, 8, generator=random)
            conversations.append((split, f"talk{talk}", labels, None if talk == 1 else kept))
            text[split, f"talk{talk}"] = rows
    return write_store(folder, encoder, "talks", conversations, text=text)


def _write_shard(folder, rows, features=None):
    folder.mkdir()
    tensors = {
        "embeddings": torch.stack(list(rows.values())),
        "present": torch.ones(len(rows), dtype=torch.bool),
    }
    if features is not None:
        tensors["features"] = torch.stack(list(features.values()))
    save_file(tensors, folder / "000000.safetensors", metadata={"keys": json.dumps(list(rows))})
