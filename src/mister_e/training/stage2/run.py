"""Stage 2 of a recipe on a store: one run a seed, each in a folder of its own.

Only the train and validation splits are ever read here: nothing could be selected on test.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mister_e.encoders.store import EmbeddingStore
from mister_e.evaluation.scorecard import score
from mister_e.files import write_text
from mister_e.inference.calibration import Calibration, calibrate, temperatures
from mister_e.inference.predict import predict
from mister_e.model import MisterE
from mister_e.progress import Progress, silent
from mister_e.training.loop import Loop
from mister_e.training.mixture_folder import MixtureFacts, save_mixture
from mister_e.training.recipe import Recipe
from mister_e.training.runs import check_run_config, check_unique, is_main, spread, wait_for_everyone
from mister_e.training.runtime import seed_everything
from mister_e.training.stage2.data import TrainingData, read_training_data
from mister_e.training.stage2.task import MixtureTraining
from mister_e.training.weight_averaging import WeightAverage

#: Version of the layout of a run's folder.
FORMAT = 1


def run_stage2(
    recipe: Recipe,
    store: EmbeddingStore,
    out: Path,
    *,
    seeds: Sequence[int] = (),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the mixture of a recipe, seed after seed; what is done already is not done again.

    :param recipe: what to do.
    :param store: trained on its train split, chosen and calibrated on its validation split.
    :param out: gets `seed-N/` (`run.json`, `log.jsonl`, `checkpoint/`, `model/`, `result.json`) and
        `summary.json`.
    :param seeds: instead of the recipe's.
    :param progress: told of steps, as stage "train".
    :return: the summary.
    :raises InputError: the folder holds a run of another recipe or store, or the data is of no use.
    """
    data = read_training_data(store, recipe)
    results = []
    for seed in check_unique(seeds) or recipe.seeds:
        run = out / f"seed-{seed}"
        check_run_config(run, _facts(recipe, store, seed))
        if not (run / "result.json").is_file():
            _one(run, recipe, store, data, seed, progress)
            wait_for_everyone()
        results.append(json.loads((run / "result.json").read_text(encoding="utf-8")))
    summary = {
        "recipe": recipe.name,
        "corpus": store.protocol.name,
        "seeds": [one["seed"] for one in results],
        "parameters": results[0]["parameters"],
        "validation_weighted_f1": spread([one["validation"]["weighted_f1"] for one in results]),
        "validation_ece": spread([one["validation"]["ece"] for one in results]),
        "notes": list(data.notes),
    }
    if is_main():
        write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def train_one(
    data: TrainingData, recipe: Recipe, seed: int, run: Path, progress: Progress = silent
) -> tuple[MisterE, list[dict[str, float]], int]:
    """Train with one seed; the kept epoch's weights are in the mixture.

    :param run: folder of the run: `log.jsonl`, `checkpoint/`.
    :return: the mixture, one row an epoch, and the epoch that was kept.
    """
    chosen = recipe.stage2()
    settings = chosen.train.model_copy(update={"seed": seed})
    seed_everything(seed)
    mixture = MisterE(data.config)
    task = MixtureTraining(mixture, data, settings, chosen.loss.resolve(data.counts))
    average = WeightAverage(settings.ema, settings.average_from)
    done = Loop(task, settings, run, average=average, each_epoch=False).go(progress)
    return mixture, list(done.history), done.best_epoch


def _one(
    run: Path, recipe: Recipe, store: EmbeddingStore, data: TrainingData, seed: int, progress: Progress
) -> None:
    """Train with one seed, calibrate, and write what came of it."""
    chosen, began = recipe.stage2(), time.perf_counter()
    mixture, history, best = train_one(data, recipe, seed, run, progress)
    seconds = time.perf_counter() - began
    if not is_main():
        return
    calibration = calibrate(mixture, data.validation)
    validation = _scores(mixture, data, calibration)
    save_mixture(
        run / "model",
        mixture,
        MixtureFacts(
            labels=data.labels.to_json(),
            model=data.config,
            calibration=calibration,
            encoders=store.facts["encoders"],
            protocol=store.protocol.to_json(),
            corpus_sha256=store.facts["corpus_sha256"],
            recipe=recipe.name,
            seed=seed,
            loss=chosen.loss.model_dump(mode="json"),
            train=chosen.train.model_dump(mode="json", exclude={"seed"}),
            validation=validation,
        ),
    )
    result = {
        **_facts(recipe, store, seed),
        "labels": data.labels.to_json(),
        "parameters": sum(p.numel() for p in mixture.parameters()),
        "best_epoch": best,
        "validation": validation,
        "calibration": calibration.model_dump(),
        "notes": list(data.notes),
        "seconds": round(seconds, 1),
        "history": history,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("mister-e", "torch", "accelerate")},
    }
    write_text(run / "result.json", json.dumps(result, indent=2) + "\n")


def _scores(mixture: MisterE, data: TrainingData, calibration: Calibration) -> dict[str, float]:
    """Scores on validation, calibrated."""
    said = predict(mixture, data.validation)
    card = score(said, data.labels, temperature=temperatures(calibration, said))
    return {"turns": card.turns, **card.scores}


def _facts(recipe: Recipe, store: EmbeddingStore, seed: int) -> dict[str, Any]:
    """All that decides a run."""
    encoders = store.facts["encoders"]
    return {
        "format": FORMAT,
        "seed": seed,
        "recipe": {"name": recipe.name, **recipe.stage2().settings()},
        "protocol": store.protocol.to_json(),
        "corpus_sha256": store.facts["corpus_sha256"],
        "encoders": {
            modality: {field: encoders[modality][field] for field in ("name", "kind", "identity", "dim")}
            for modality in sorted(encoders)
        },
    }
