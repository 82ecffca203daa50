"""Stage 2 of a recipe on a store: one run a seed, each in a folder of its own.

Only the train and validation splits are ever read here: nothing could be selected on test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.store import EmbeddingStore
from mister_e.files import write_text
from mister_e.inference.calibration import Calibration, calibrate, temperatures
from mister_e.inference.model_config import EncoderMetadata, ModelConfig
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.inference.predictions import softmax
from mister_e.labels import LabelSet
from mister_e.metrics.classification import confusion_matrix, overall_scores
from mister_e.metrics.reliability import Reliability
from mister_e.metrics.summary import mean_std
from mister_e.model import MisterE
from mister_e.progress import Progress, silent
from mister_e.training.loop import Loop
from mister_e.training.recipe import Recipe
from mister_e.training.runs import check_run_config, check_unique, is_main, wait_for_everyone
from mister_e.training.runtime import seed_everything
from mister_e.training.stage2.conditions import calibrate_under
from mister_e.training.stage2.data import TrainingData, read_training_data
from mister_e.training.stage2.pairing import VoiceStores
from mister_e.training.stage2.task import MixtureTraining
from mister_e.training.weight_averaging import WeightAverage
from mister_e.version import installed_versions

#: Version of the layout of a run's folder.
FORMAT = 1


def run_stage2(
    recipe: Recipe,
    store: EmbeddingStore,
    out: Path,
    *,
    seeds: Sequence[int] = (),
    voices: VoiceStores | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train the mixture of a recipe, seed after seed; what is done already is not done again.

    :param recipe: what to do.
    :param store: trained on its train split, chosen and calibrated on its validation split.
    :param out: gets `seed-N/` (`run.json`, `log.jsonl`, `checkpoint/`, `model/`, `result.json`) and
        `summary.json`.
    :param seeds: instead of the recipe's.
    :param voices: clips that a recipe with `pairing:` pairs the store's conversations with.
    :param progress: told of steps, as stage "train".
    :return: the summary.
    :raises InputError: the folder holds a run of another recipe or store, or the data is of no use.
    """
    data = read_training_data(store, recipe, voices)
    results = []
    for seed in check_unique(seeds) or recipe.seeds:
        run = out / f"seed-{seed}"
        check_run_config(run, _run_config(recipe, store, voices, seed))
        if not (run / "result.json").is_file():
            _train_seed(run, recipe, store, voices, data, seed, progress)
            wait_for_everyone()
        results.append(json.loads((run / "result.json").read_text(encoding="utf-8")))
    summary = {
        "recipe": recipe.name,
        "corpus": store.protocol.name,
        "seeds": [result["seed"] for result in results],
        "parameters": results[0]["parameters"],
        "validation_weighted_f1": mean_std([result["validation"]["weighted_f1"] for result in results]),
        "validation_ece": mean_std([result["validation"]["ece"] for result in results]),
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
    done = Loop(task, settings, run, average=average, each_epoch=False).fit(progress)
    return mixture, list(done.history), done.best_epoch


def _train_seed(
    run: Path,
    recipe: Recipe,
    store: EmbeddingStore,
    voices: VoiceStores | None,
    data: TrainingData,
    seed: int,
    progress: Progress,
) -> None:
    """Train with one seed, calibrate, and write what came of it."""
    began = time.perf_counter()
    mixture, history, best = train_one(data, recipe, seed, run, progress)
    seconds = time.perf_counter() - began
    if not is_main():
        return
    if data.conditions:
        calibration = calibrate_under(mixture, data.conditions)
    else:
        calibration = calibrate(mixture, data.validation)
    scores = _validation_scores(mixture, data, calibration)
    config = _model_config(recipe, store, data, seed, calibration, scores)
    if voices is not None:
        selecting = [condition.name for condition in data.conditions if condition.selects]
        paired = {
            "pairing": recipe.stage2().settings()["pairing"],
            "voices": voices.sha256,
            "selection": f"validation, by the mean over {len(selecting)} conditions: {'; '.join(selecting)}",
        }
        config = config.model_copy(
            update={"training": {**config.training, **paired, "corpora": list(data.corpora)}}
        )
    ModelFolder(config, mixture).save_pretrained(run / "model")
    result = {
        **_run_config(recipe, store, voices, seed),
        "labels": data.labels.to_json(),
        "parameters": sum(p.numel() for p in mixture.parameters()),
        "best_epoch": best,
        "validation": _summary_of(scores, data),
        "calibration": calibration.model_dump(),
        "notes": list(data.notes),
        "seconds": round(seconds, 1),
        "history": history,
        "versions": installed_versions(),
    }
    write_text(run / "result.json", json.dumps(result, indent=2) + "\n")


def _model_config(
    recipe: Recipe,
    store: EmbeddingStore,
    data: TrainingData,
    seed: int,
    calibration: Calibration,
    scores: Mapping[str, Mapping[str, float]],
) -> ModelConfig:
    """What the model says of itself."""
    stage2 = recipe.stage2()
    return ModelConfig(
        name=recipe.name,
        description=recipe.description,
        languages=list(recipe.languages),
        labels=data.labels.to_json(),
        mixture=data.config,
        calibration=calibration,
        encoders={
            modality: EncoderMetadata.model_validate(encoder)
            for modality, encoder in store.metadata["encoders"].items()
        },
        training={
            "recipe": recipe.name,
            "seed": seed,
            "protocol": store.protocol.to_json(),
            "corpus_sha256": store.metadata["corpus_sha256"],
            "selection": "validation",
            "loss": stage2.loss.model_dump(mode="json"),
            "train": stage2.train.model_dump(mode="json", exclude={"seed"}),
        },
        scores={name: dict(row) for name, row in scores.items()},
        notes=list(recipe.notes),
        terms=recipe.terms,
    )


def _validation_scores(
    mixture: MisterE, data: TrainingData, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Scores on validation, calibrated; of a paired mixture those under each condition."""
    if not data.conditions:
        return {"validation": _scores(mixture, data.validation, data.labels, calibration)}
    return {
        f"validation, {condition.name}": _scores(mixture, condition.conversations, data.labels, calibration)
        for condition in data.conditions
    }


def _scores(
    mixture: MisterE, conversations: Sequence[StoredConversation], labels: LabelSet, calibration: Calibration
) -> dict[str, float]:
    """Scores of conversations: 0 to 100, calibration errors 0 to 1."""
    predictions = predict(mixture, conversations)
    chosen = predictions.scored
    truth, logits = predictions.labels[chosen], predictions.logits[chosen]
    overall = overall_scores(confusion_matrix(truth, logits.argmax(1), len(labels)))
    before, after = (
        Reliability.of(softmax(logits / temperature), truth)
        for temperature in (1.0, temperatures(calibration, predictions)[chosen])
    )
    return {
        "turns": len(truth),
        **{name: float(value) for name, value in overall.items()},
        "ece": after.error,
        "ece_uncalibrated": before.error,
    }


def _summary_of(scores: Mapping[str, Mapping[str, float]], data: TrainingData) -> dict[str, Any]:
    """What a run tells of validation: of a paired mixture, the means over the conditions that select."""
    if not data.conditions:
        return dict(scores["validation"])
    selecting = [
        row for condition, row in zip(data.conditions, scores.values(), strict=True) if condition.selects
    ]
    means = {name: float(np.mean([row[name] for row in selecting])) for name in selecting[0]}
    return {
        **means,
        "turns": sum(int(row["turns"]) for row in selecting),
        "conditions": {
            condition.name: dict(row) for condition, row in zip(data.conditions, scores.values(), strict=True)
        },
    }


def _run_config(
    recipe: Recipe, store: EmbeddingStore, voices: VoiceStores | None, seed: int
) -> dict[str, Any]:
    """All that decides a run."""
    encoders = store.metadata["encoders"]
    return {
        "format": FORMAT,
        "seed": seed,
        "recipe": {"name": recipe.name, **recipe.stage2().settings()},
        "protocol": store.protocol.to_json(),
        "corpus_sha256": store.metadata["corpus_sha256"],
        "encoders": {
            modality: {field: encoders[modality][field] for field in ("name", "kind", "identity", "dim")}
            for modality in sorted(encoders)
        },
        **({} if voices is None else {"voices": voices.sha256}),
    }
