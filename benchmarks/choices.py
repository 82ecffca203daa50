"""Scores of single changes to the mixture's settings on validation: `choices.py --data DIR --work DIR`.

One change at a time over `recipes/*/mini.yaml`, on the stores of `benchmarks/results.py`. The test split is
not looked at. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from mister_e.files import write_text
from mister_e.training.recipe import read_recipe
from mister_e.training.stage2.run import run_stage2
from results import TEXT_ENCODERS, embedded
from stage1 import CORPORA, ROOT

SEEDS = (0, 1, 2)

#: Name of a change to the recipe fields that it sets.
CHANGES: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "no class weights": ("loss.class_weights=null",),
    "weight of the experts' agreement 0.1": ("loss.consistency=0.1",),
    "20 epochs": ("train.epochs=20",),
    "no dropout on the embeddings": ("train.input_dropout=0",),
    "half of each embedding dropped": ("train.input_dropout=0.5",),
    "learning rate 2e-4": ("train.learning_rate=2e-4",),
    "cross-entropy, not focal": ("loss.gamma=0",),
    "contrastive weight 1": ("loss.contrastive=1",),
    "label smoothing 0.1": ("loss.label_smoothing=0.1",),
    "no modality dropped in training": (
        "train.drop_text=0",
        "train.drop_speech=0",
        "train.drop_conversation=0",
    ),
    "whole conversations alone": ("train.prefixes=0",),
    "no mean of the weights": ("train.ema=0",),
    "networks twice as wide": ("model.hidden=256", "model.gru_hidden=128"),
}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/")
    parser.add_argument("--work", type=Path, required=True, help="that of benchmarks/stage1.py; keeps runs")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=["iemocap", "mosi"])
    parser.add_argument("--recipe", choices=TEXT_ENCODERS, default="mini")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    rows = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
    for name in arguments.corpora:
        path = ROOT / "recipes" / name / f"{arguments.recipe}.yaml"
        store = embedded(name, read_recipe(path), arguments.recipe, arguments.data, arguments.work)
        for change, fields in CHANGES.items():
            recipe = read_recipe(path, ["speech={kind: features}", *(f"mixture.{field}" for field in fields)])
            folder = arguments.work / "choices" / name / change.replace(" ", "-").replace("'", "")
            summary = run_stage2(recipe, store, folder, seeds=SEEDS)
            row = rows.setdefault(change, {"changes": list(fields)})
            row[store.protocol.name] = {"seeds": len(SEEDS)} | summary["validation_weighted_f1"]
            write_text(arguments.out, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
