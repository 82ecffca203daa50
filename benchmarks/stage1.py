"""Fine-tune the text encoders of the recipes and score them: `benchmarks/stage1.py --data DIR --work DIR`.

Every corpus, recipe and seed is one run in the work folder: a run that was killed is continued, a finished
one is not done again, and its test split is scored once, after the epoch was chosen on validation.
Weights of IEMOCAP and CMU-MOSI stay in the work folder.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mister_e.corpora import table
from mister_e.corpora.store import Corpus
from mister_e.files import write_text
from mister_e.training.recipe import read_recipe
from mister_e.training.stage1.run import run_stage1

ROOT = Path(__file__).parent.parent

#: Corpus to its protocol's name and labels.
CORPORA: dict[str, tuple[str, tuple[str, ...]]] = {
    "meld": ("MELD-7", ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")),
    "iemocap": ("IEMOCAP-6", ("hap", "sad", "neu", "ang", "exc", "fru")),
    "iemocap4": ("IEMOCAP-4, exc merged", ("hap", "sad", "neu", "ang")),
    "mosi": ("MOSI-2", ("positive", "negative")),
}
PROSODY = ("duration", "avg_*", "intensity_variation", "pitch_*", "articulation_rate", "mean_hnr")
FEATURES = {
    "meld": PROSODY,
    "iemocap": (*PROSODY, "f0_*", "rms_energy", "onset_rate"),
    "iemocap4": (*PROSODY, "f0_*", "rms_energy", "onset_rate"),
    "mosi": ("cov*",),
}
#: Corpora that are another label column of another corpus's table.
COLUMNS = {"iemocap4": ("iemocap.csv", {"label": "label4"})}
RECIPES = ("mini", "mini-llm")
#: Variant to recipe fields that it changes.
VARIANTS: dict[str, tuple[str, ...]] = {
    "with history": (),
    "single turns": (
        "text.encoder.history=0",
        "text.encoder.turns_per_prompt=1",
        "text.encoder.instruction=null",
        "text.finetune.batch_examples=32",
    ),
}


def corpus_of(name: str, data: Path, work: Path) -> Corpus:
    """Prepare a table of `data/erc`; a corpus that is prepared is not prepared again."""
    protocol, labels = CORPORA[name]
    folder = work / "corpora" / name
    if (folder / "corpus.json").is_file():
        return Corpus.load(folder)
    file, columns = COLUMNS.get(name, (f"{name}.csv", {}))
    return table.prepare(
        data / "erc" / file, folder, labels=labels, features=FEATURES[name], columns=columns, name=protocol
    )


def measured(
    corpus: Corpus, name: str, recipe: str, variant: str, work: Path, seeds: Sequence[int] = ()
) -> dict[str, Any]:
    """Train and score a recipe on a corpus.

    :param seeds: none given = the recipe's.
    """
    chosen = read_recipe(ROOT / "recipes" / name / f"{recipe}.yaml", VARIANTS[variant])
    run = work / name / recipe / variant.replace(" ", "-")
    return {"recipe": recipe, "variant": variant} | run_stage1(
        chosen, "text", {corpus.folder.name: corpus}, run, seeds=seeds, test=True
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/")
    parser.add_argument("--work", type=Path, required=True, help="keeps runs")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(), help="instead of the recipes'")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in arguments.corpora:
        corpus = corpus_of(name, arguments.data, arguments.work)
        for recipe in arguments.recipes:
            if not (ROOT / "recipes" / name / f"{recipe}.yaml").is_file():
                continue
            for variant in arguments.variants:
                row = measured(corpus, name, recipe, variant, arguments.work, arguments.seeds)
                results = (
                    json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
                )
                results.setdefault(row["corpus"], {})[f"{recipe}, {variant}"] = {
                    key: row[key] for key in ("seeds", "validation_weighted_f1", "test_weighted_f1")
                }
                write_text(arguments.out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
