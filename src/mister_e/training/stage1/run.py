"""Stage 1 of a recipe on a prepared corpus: one run a seed, each in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mister_e.conversation import Conversation
from mister_e.corpora.store import Corpus
from mister_e.encoders.base import UtteranceEncoder, on_fastest_device
from mister_e.encoders.registry import load_encoder, new_encoder
from mister_e.errors import InputError
from mister_e.files import write_text
from mister_e.labels import LabelSet
from mister_e.metrics.classification import class_scores, confusion_matrix, overall_scores
from mister_e.metrics.summary import mean_std
from mister_e.progress import Progress, silent
from mister_e.training.recipe import EncoderRecipe, Recipe
from mister_e.training.runs import check_run_config, check_unique, is_main, wait_for_everyone
from mister_e.training.runtime import seed_everything
from mister_e.training.stage1.classify import classify, positions_of
from mister_e.training.stage1.task import finetune
from mister_e.training.stage1.warm_start import find_start, go_on_from
from mister_e.version import installed_versions


def run_stage1(
    recipe: Recipe,
    part: str,
    corpus: Corpus,
    out: Path,
    *,
    seeds: Sequence[int] = (),
    test: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune one part of a recipe, seed after seed; what is done already is not done again.

    :param recipe: what to do.
    :param part: "text" or "speech".
    :param corpus: trained on its train split, chosen on its validation split.
    :param out: gets `seed-N/` and `summary.json`.
    :param seeds: instead of the recipe's.
    :param test: score the kept encoders on the test split, each once.
    :param progress: told of steps and turns.
    :return: the summary.
    :raises InputError: the folder holds a run of another recipe or corpus.
    """
    chosen = recipe.part(part)
    labels = corpus.protocol.labels
    splits = {name: list(corpus.conversations(name)) for name in ("train", "validation")}
    recipe_facts = _facts(chosen)
    results = []
    for seed in check_unique(seeds) or recipe.seeds:
        run = out / f"seed-{seed}"
        facts = {
            "part": part,
            "seed": seed,
            "recipe": recipe_facts,
            "protocol": corpus.protocol.to_json(),
            "corpus_sha256": corpus.metadata["table_sha256"],
        }
        check_run_config(run, facts)
        if not (run / "result.json").is_file():
            _one(run, chosen, labels, splits, facts, progress)
            wait_for_everyone()
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        if test and "test" not in result:
            encoder = on_fastest_device(load_encoder(run / "encoder"))
            result["test"] = scores(encoder, list(corpus.conversations("test")), labels)
            write_text(run / "result.json", json.dumps(result, indent=2) + "\n")
        results.append(result)
    summary = {
        "recipe": recipe.name,
        "part": part,
        "corpus": corpus.protocol.name,
        "seeds": [one["seed"] for one in results],
        "validation_weighted_f1": mean_std([one["validation_weighted_f1"] for one in results]),
    }
    if all("test" in one for one in results):
        summary["test_weighted_f1"] = mean_std([one["test"]["weighted_f1"] for one in results])
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def scores(
    encoder: UtteranceEncoder, conversations: Sequence[Conversation], labels: LabelSet
) -> dict[str, Any]:
    """Score an encoder's own classifier on the labelled turns that have its modality.

    :return: `turns`, `weighted_f1`, `accuracy`, `macro_f1` (over the classes that are there), `class_f1`
        (label to F1), all scores 0 to 100.
    """
    truth = positions_of(conversations, labels)
    predicted = classify(encoder, conversations)
    judged = (truth >= 0) & (predicted >= 0)
    if not judged.any():
        raise InputError(f"no turn of this split has a label and {encoder.modality}")
    right, said = truth[judged], predicted[judged]
    confusion = confusion_matrix(right, said, len(labels))
    overall = {name: float(value) for name, value in overall_scores(confusion).items()}
    each = class_scores(confusion)["f1"].tolist()
    return {"turns": len(right), **overall, "class_f1": dict(zip(labels, each, strict=True))}


def _one(
    run: Path,
    chosen: EncoderRecipe,
    labels: LabelSet,
    splits: Mapping[str, Sequence[Conversation]],
    facts: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Fine-tune with one seed and keep the encoder."""
    assert chosen.finetune is not None
    settings = chosen.finetune.model_copy(update={"seed": facts["seed"]})
    seed_everything(settings.seed)
    encoder = new_encoder(chosen.kind, chosen.encoder.model_copy(update={"classes": len(labels)}))
    if chosen.start is not None:
        go_on_from(encoder, find_start(chosen.start), chosen.start)
    encoder.keep_in(run.parent / "kept")
    done = finetune(encoder, splits["train"], splits["validation"], labels, settings, run, progress=progress)
    if not is_main():
        return
    encoder.save(run / "encoder")
    result = {
        **facts,
        "labels": labels.to_json(),
        "best_epoch": done.best_epoch,
        "validation_weighted_f1": done.validation_weighted_f1,
        "history": list(done.history),
        "versions": installed_versions(),
    }
    write_text(run / "result.json", json.dumps(result, indent=2) + "\n")


def _facts(chosen: EncoderRecipe) -> dict[str, Any]:
    assert chosen.finetune is not None
    return {
        "kind": chosen.kind,
        "encoder": chosen.encoder.model_dump(mode="json"),
        "start": None if chosen.start is None else find_start(chosen.start).identity,
        "finetune": chosen.finetune.model_dump(mode="json", exclude={"seed"}),
    }
