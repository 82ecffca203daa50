"""Train and score the mixture on real corpora: `benchmarks/results.py --data DIR --work DIR`.

For every corpus, turns are embedded by its text encoder (seed 0 of `benchmarks/stage1.py`, trained if it is
missing) and by the table's audio features. On these embeddings the recipe's mixture, its ablations, the
published configuration and the baselines are trained, chosen on validation, and scored on test once.
What is done already is not done again. Embeddings and weights stay in the work folder.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from mister_e.encoders.registry import load_encoder
from mister_e.encoders.speech.features import FeaturesConfig, FeaturesEncoder
from mister_e.encoders.store import EmbeddingStore
from mister_e.evaluation.ablation import FULL, VARIANTS, ablate
from mister_e.evaluation.baselines.run import run_baselines
from mister_e.evaluation.trained_run import evaluate_run, write_evaluation
from mister_e.files import write_text
from mister_e.metrics.summary import mean_std
from mister_e.training.recipe import Recipe, read_recipe
from mister_e.training.stage1.run import run_stage1
from stage1 import CORPORA, ROOT, corpus_of

SEEDS = (0, 1, 2, 3, 4)

#: Recipe to a description of its text encoder.
TEXT_ENCODERS = {"mini": "MiniLM-L6 (22 M)", "mini-llm": "SmolLM2-135M with LoRA"}
#: Corpus to a description of its table's audio features.
AUDIO_FEATURES = {
    "meld": "8 statistics of pitch, loudness, rate and voice",
    "iemocap": "12 statistics of pitch, loudness, rate and voice",
    "iemocap4": "12 statistics of pitch, loudness, rate and voice",
    "mosi": "74 COVAREP means",
}
_SIZE = "about 15 B parameters; the recordings themselves, not a few statistics of them"
PUBLISHED: dict[str, list[dict[str, Any]]] = {
    "meld": [
        {"system": "MiSTER-E", "weighted_f1": 69.5, "differs": _SIZE},
        {"system": "RoBERTa + DialogueRNN", "weighted_f1": 63.61, "differs": "text alone; told who speaks"},
        {"system": "EmoBERTa, no names", "weighted_f1": 65.07, "differs": "text alone, 355 M parameters"},
        {"system": "MMGCN", "weighted_f1": 58.65, "differs": "with video; told who speaks"},
    ],
    "iemocap": [
        {"system": "MiSTER-E", "weighted_f1": 70.9, "differs": _SIZE},
        {"system": "RoBERTa + DialogueRNN", "weighted_f1": 64.76, "differs": "text alone; told who speaks"},
        {"system": "EmoBERTa, no names", "weighted_f1": 64.02, "differs": "text alone, 355 M parameters"},
        {"system": "MMGCN", "weighted_f1": 66.22, "differs": "with video; told who speaks"},
    ],
    "iemocap4": [],
    "mosi": [
        {"system": "MiSTER-E", "weighted_f1": 87.9, "differs": _SIZE},
        {"system": "MulT", "weighted_f1": 79.63, "differs": "with video; negative against non-negative"},
        {"system": "Self-MM", "weighted_f1": 83.36, "differs": "with video; negative against non-negative"},
    ],
}


def embedded(name: str, recipe: Recipe, kind: str, data: Path, work: Path) -> EmbeddingStore:
    """Embed a corpus: text by the fine-tuned encoder, speech by the table's audio features."""
    corpus = corpus_of(name, data, work)
    run = work / name / kind / "with-history"
    run_stage1(recipe, "text", {name: corpus}, run, seeds=[0])
    store = EmbeddingStore.create(work / "stores" / f"{name}-{kind}", corpus)
    store.add(corpus, load_encoder(run / "seed-0" / "encoder"), name=f"{kind} fine-tuned on {name}")
    features = FeaturesEncoder.from_base(FeaturesConfig())
    features.fit(features.examples(list(corpus.conversations("train"))))
    store.add(corpus, features, name="the table's audio features")
    return store


def published(recipe: Recipe, name: str) -> Recipe:
    """A recipe with the published loss and training on networks of this recipe's size.

    The published size is for embeddings of 2048 numbers.
    """
    paper = read_recipe(ROOT / "recipes" / name.removesuffix("4") / "paper.yaml").stage2()
    model = recipe.stage2().model.model_copy(update={"head_dropout": paper.model.head_dropout})
    mixture = paper.model_copy(update={"model": model})
    return recipe.model_copy(update={"name": f"{name}-published", "mixture": mixture})


def row(model: str, variant: str | None, seeds: list[int] | None, scores: dict[str, Any]) -> dict[str, Any]:
    """One row of a results table."""
    return {
        "model": model,
        **({} if variant is None else {"variant": variant}),
        "seeds": seeds,
        **{
            split: {score: scores[split][score] for score in ("weighted_f1", "accuracy", "macro_f1", "ece")}
            for split in ("validation", "test")
        },
    }


def measured(
    name: str, kind: str, data: Path, work: Path, out: Path, variants: tuple[str, ...], compare: int
) -> None:
    """Train and score everything on a corpus with one recipe's embeddings, and write the results.

    :param compare: seeds of the published loss and training; 0 = leave them out.
    """
    # the tables hold no sound, only statistics of it
    recipe = read_recipe(ROOT / "recipes" / name / f"{kind}.yaml", ["speech={kind: features}"])
    store = embedded(name, recipe, kind, data, work)
    folder = work / "mixtures" / f"{name}-{kind}"
    rows = []
    table = ablate(recipe, store, folder, seeds=SEEDS, variants=variants)
    for variant in table["variants"]:
        name_of_variant = None if variant["variant"] == FULL else variant["variant"]
        rows.append(row("mixture", name_of_variant, list(SEEDS), variant))
    details: dict[str, Any] = {"robustness": table["robustness"]}
    full = folder / FULL
    for split in ("validation", "test"):
        path = full / f"evaluation-{split}-full.json"
        if not path.is_file():
            write_evaluation(evaluate_run(full, store, split=split), full)
        details[split] = json.loads(path.read_text(encoding="utf-8"))
    rows.insert(
        1,
        row(
            "five mixtures' mean probabilities",
            None,
            None,
            {
                split: {score: mean_std([value]) for score, value in result["ensemble"]["scores"].items()}
                for split, result in details.items()
                if split != "robustness"
            },
        ),
    )
    if compare:
        done = ablate(
            published(recipe, name), store, folder / "published", seeds=SEEDS[:compare], variants=(FULL,)
        )
        rows.append(row("published loss and training", None, list(SEEDS[:compare]), done["variants"][0]))
    baselines = run_baselines(store, folder / "baselines", seeds=SEEDS)
    for title, baseline in baselines["baselines"].items():
        rows.append(row(title, None, baseline["seeds"], baseline))
    result = {
        "corpus": f"{store.protocol.name}, {TEXT_ENCODERS[kind]}",
        "turns": {split: details[split]["seeds"]["0"]["turns"] for split in ("validation", "test")},
        "embeddings": f"Words: {TEXT_ENCODERS[kind]}, fine-tuned on the corpus; sound: "
        f"{AUDIO_FEATURES[name]}.",
        "rows": rows,
        "published": PUBLISHED[name] if kind == "mini" else [],
        "classes": details["test"]["summary"]["classes"],
        "experts": details["test"]["summary"]["experts"],
        "gate": details["test"]["summary"]["gate"],
        "parts": details["test"]["summary"]["parts"],
        "robustness": details["robustness"],
    }
    write_text(out / f"{name}-{kind}.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/")
    parser.add_argument("--work", type=Path, required=True, help="that of benchmarks/stage1.py; keeps runs")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--recipes", nargs="+", choices=TEXT_ENCODERS, default=["mini"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument(
        "--published", type=int, default=0, metavar="SEEDS", help="of the published loss and training"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.corpora:
        for kind in arguments.recipes:
            if (ROOT / "recipes" / name / f"{kind}.yaml").is_file():
                measured(
                    name,
                    kind,
                    arguments.data,
                    arguments.work,
                    arguments.out,
                    tuple(arguments.variants),
                    arguments.published,
                )


if __name__ == "__main__":
    main()
