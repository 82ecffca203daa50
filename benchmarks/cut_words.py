"""What shorter turns do to their words: `cut_words.py --data DIR`, put into `cutting.json` as `context`.

DIR holds `erc/meld.csv`. The turns of a split are judged by their words alone, whole and cut where sentences
end, with sentences of fewer words left with a neighbour (`mister_e.transcription.cutting.sentences`), each
part as a turn of the conversation. A turn that was cut gets the mean of the probabilities of its parts,
weighted by their words (`mean`), or the emotion of most words (`majority`): weighted F1 in percent.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutting import update
from mister_e.conversation import Conversation, Utterance
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predictions import softmax
from mister_e.inference.predictor import Predictor
from mister_e.metrics.classification import weighted_f1
from mister_e.pretrained import model_folder
from mister_e.transcription.cutting.pieces import MIN_WORDS
from mister_e.transcription.cutting.sentences import sentences

#: Fewest words of a sentence that are tried on validation; None = turns as they are.
TRIED = (None, 1, 3, 4, 5, 6, 8)


def read(path: Path, split: str) -> dict[str, list[dict[str, str]]]:
    """Rows of a split by conversation, in their order."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                rows.setdefault(row["conversation_id"], []).append(row)
    return {name: sorted(own, key=lambda row: int(row["turn"])) for name, own in rows.items()}


def parts(text: str, min_words: int | None) -> list[str]:
    """Cut the words of a turn; at least one part."""
    words = text.split()
    if min_words is None:
        return [text]
    return [" ".join(words[place] for place in own) for own in sentences(words, min_words)] or [text]


def score(
    predictor: Predictor, rows: dict[str, list[dict[str, str]]], min_words: int | None
) -> dict[str, Any]:
    """Judge turns cut in one way."""
    conversations: list[Conversation] = []
    owners: list[int] = []
    labels: list[int] = []
    for name, own in rows.items():
        turns: list[Utterance] = []
        for row in own:
            for number, part in enumerate(parts(row["text"], min_words)):
                turns.append(Utterance(f"{row['turn']}.{number}", part))
                owners.append(len(labels))
            labels.append(predictor.labels.index(row["label"]))
        conversations.append(Conversation(name, tuple(turns)))
    found = predictor.predict(conversations, mode="text-only")
    probabilities = softmax(found.predictions.logits / found.temperatures)
    lengths = [len((turn.text or "").split()) for turn in found.turns]
    weights = np.where(found.predictions.predicted, lengths, 0)[:, None]
    votes = np.eye(probabilities.shape[1])[probabilities.argmax(1)] * (1 + 1e-3 * probabilities)
    return {
        "turns": len(owners),
        "mean": _score(probabilities * weights, owners, labels),
        "majority": _score(votes * weights, owners, labels),
    }


def _score(values: NDArray[np.float64], owners: Sequence[int], labels: Sequence[int]) -> float:
    """Weighted F1 of the turns that parts belong to, in percent."""
    sums = np.zeros((len(labels), values.shape[1]))
    np.add.at(sums, np.array(owners), values)
    return round(weighted_f1(labels, sums.argmax(1).tolist()), 1)


def main() -> None:
    """Read the command line and score: validation in all ways, test in those that are used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/meld.csv")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("cutting.json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    predictor = Predictor(ModelFolder.load(model_folder(arguments.model)))
    result: dict[str, Any] = {}
    for split, ways in (("val", TRIED), ("test", (None, 1, MIN_WORDS))):
        rows = read(arguments.data / "erc" / "meld.csv", split)
        for way in ways:
            name = "whole" if way is None else f"from {way} words"
            result.setdefault(split, {})[name] = score(predictor, rows, way)
            logging.info("%s, %s: %s", split, name, result[split][name])
    update(arguments.out, {"context": result})


if __name__ == "__main__":
    main()
