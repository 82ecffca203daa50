"""Evaluate what `mister-e train` made: every seed, under one protocol; every look at test is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.html import render
from mister_e.evaluation.plots import save_confusion, save_reliability
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import Scorecard, score
from mister_e.evaluation.summary import Evaluation
from mister_e.files import write_text
from mister_e.inference.calibration import fit_temperature, temperatures
from mister_e.inference.ensemble import ensemble
from mister_e.inference.predict import Mode, predict
from mister_e.inference.predictions import Predictions
from mister_e.progress import Progress, silent
from mister_e.training.mixture_folder import MixtureFacts, TrainedMixture, load_mixture
from mister_e.training.runs import first_difference

#: A line for every time that test was scored, in the folder of the run.
RECORD = "test_scored.jsonl"

#: Splits that can be scored; train says nothing.
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class _Judged:
    """What one seed says of a split, and its own temperatures."""

    predictions: Predictions
    trained: TrainedMixture

    @property
    def temperature(self) -> NDArray[np.float64]:
        """Of each turn `[N, 1]`."""
        return temperatures(self.trained.calibration, self.predictions)


def evaluate_run(
    run: Path,
    store: EmbeddingStore,
    *,
    split: str = "validation",
    mode: Mode = "full",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    progress: Progress = silent,
) -> Evaluation:
    """Score every seed of a run, and their ensemble.

    :param run: a folder of `mister-e train`, or that of one of its seeds; test is recorded in the former.
    :param store: the embeddings, by the encoders that the run was trained on.
    :param split: "validation" or "test".
    :param mode: what the model is shown.
    :param now: gives the time that the record says.
    :param progress: told of turns, as stage "predict".
    :raises InputError: the folder holds no finished run, the store is another, or nothing can be scored.
    """
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r} to score: there are {' and '.join(SPLITS)}")
    seeds = load_seeds(run)
    for trained in seeds.values():
        trained.check(store, mode)
    judged = _judge(seeds, store, split, mode, progress)
    labels = store.protocol.labels
    cards = {
        seed: score(one.predictions, labels, temperature=one.temperature) for seed, one in judged.items()
    }
    together = None
    if len(seeds) > 1:
        chosen_by = judged if split == "validation" else _judge(seeds, store, "validation", mode, progress)
        together = _ensemble(judged, chosen_by, store)
    evaluation = Evaluation(
        ScoreProtocol.of_store(store, split, mode=mode, seeds=tuple(seeds)),
        _facts(seeds),
        cards,
        together,
    )
    if split != "test":
        return evaluation
    times = _record(run, evaluation, now())
    return Evaluation(evaluation.protocol, evaluation.model, cards, together, times)


def write_evaluation(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write an evaluation as JSON, as a page, and as pictures.

    :param evaluation: of one split in one mode.
    :param out: folder; made where it is missing.
    :return: the files.
    :raises MisterEError: matplotlib is missing; JSON and page are written even so.
    """
    out.mkdir(parents=True, exist_ok=True)
    stem = f"evaluation-{evaluation.protocol.split}-{evaluation.protocol.mode}"
    paths = [out / f"{stem}{end}" for end in (".json", ".html", "-confusion.png", "-reliability.png")]
    write_text(paths[0], json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False) + "\n")
    write_text(paths[1], render(evaluation))
    save_confusion(paths[2], evaluation.confusion, evaluation.first.labels.names)
    save_reliability(paths[3], *evaluation.reliability)
    return paths


def load_seeds(run: Path) -> dict[int, TrainedMixture]:
    """Load the mixtures of a run.

    :param run: a folder of `mister-e train`, or that of one of its seeds.
    :return: seed to mixture, rising.
    :raises InputError: there is none, one of the seeds is not finished, or they are not of one recipe.
    """
    folders = sorted(one for one in run.glob("seed-*") if one.is_dir())
    if not folders:
        trained = load_mixture(run)
        return {trained.facts.seed: trained}
    unfinished = [one for one in folders if not (one / "model" / "config.json").is_file()]
    if unfinished:
        raise InputError(
            f"{unfinished[0]}: not finished; run mister-e train again, or evaluate a finished seed's folder"
        )
    loaded = [load_mixture(one) for one in folders]
    for one, folder in zip(loaded[1:], folders[1:], strict=True):
        if field := first_difference(_shared(loaded[0].facts), _shared(one.facts)):
            raise InputError(
                f"{folder}: another {field[0]} than {folders[0].name}: seeds of one run differ in the seed"
                " alone; evaluate each by its own folder"
            )
    return {one.facts.seed: one for one in sorted(loaded, key=lambda one: one.facts.seed)}


def _shared(facts: MixtureFacts) -> dict[str, Any]:
    """What the seeds of one run have in common."""
    shared = facts.model_dump(mode="json", include={"labels", "model", "loss", "corpus_sha256"})
    return shared | {"encoders": {name: one["identity"] for name, one in facts.encoders.items()}}


def _judge(
    seeds: Mapping[int, TrainedMixture], store: EmbeddingStore, split: str, mode: Mode, progress: Progress
) -> dict[int, _Judged]:
    """Let every seed judge a split."""
    conversations = list(store.conversations(split))
    return {
        seed: _Judged(predict(trained, conversations, mode=mode, progress=progress), trained)
        for seed, trained in seeds.items()
    }


def _ensemble(
    judged: Mapping[int, _Judged], chosen_by: Mapping[int, _Judged], store: EmbeddingStore
) -> Scorecard:
    """Score the seeds as one. A mean is less confident than its parts: validation gives it a temperature."""
    together, validation = (
        ensemble([one.predictions for one in each.values()], [one.temperature for one in each.values()])
        for each in (judged, chosen_by)
    )
    counted = validation.scored
    temperature = 1.0
    if counted.any():
        logits = torch.from_numpy(validation.logits[counted])
        temperature = fit_temperature(logits, torch.from_numpy(validation.labels[counted]))
    return score(together, store.protocol.labels, temperature=temperature)


def _facts(seeds: Mapping[int, TrainedMixture]) -> dict[str, Any]:
    """What is said of the model: what the seeds share, and what tells them apart."""
    first = next(iter(seeds.values()))
    facts = first.facts
    return {
        "recipe": facts.recipe,
        "trained by": f"mister-e {facts.version}",
        "parameters": sum(weight.numel() for weight in first.model.parameters()),
        "sizes": facts.model.model_dump(mode="json"),
        "loss": facts.loss,
        "training": facts.train,
        "weights": {f"seed {seed}": one.facts.files["model.safetensors"] for seed, one in seeds.items()},
    }


def _record(run: Path, evaluation: Evaluation, now: datetime) -> int:
    """Note that test was scored, before anybody sees the scores.

    :return: how often that makes it.
    """
    home = run.resolve()
    if home.name == "model":
        home = home.parent
    if home.name.startswith("seed-"):
        home = home.parent
    path = home / RECORD
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    line = {
        "when": now.isoformat(timespec="seconds"),
        "mode": evaluation.protocol.mode,
        "seeds": list(evaluation.protocol.seeds),
        "weighted_f1": evaluation.scores["weighted_f1"],
        "weights": evaluation.model["weights"],
    }
    write_text(path, before + json.dumps(line, ensure_ascii=False) + "\n")
    return len(before.splitlines()) + 1
