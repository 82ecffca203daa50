"""Evaluate what `mister-e train` made: every seed, under one protocol; every look at test is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.ensemble import ensemble
from mister_e.evaluation.html import render
from mister_e.evaluation.label_mapping import LabelMap, restrict_to_present
from mister_e.evaluation.plots import save_confusion, save_reliability
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import Scorecard, score
from mister_e.evaluation.summary import Evaluation
from mister_e.files import write_text
from mister_e.inference.batch import needed_modalities
from mister_e.inference.calibration import fit_temperature, temperatures
from mister_e.inference.model_config import WEIGHTS, ModelConfig
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import Mode, predict
from mister_e.inference.predictions import Predictions
from mister_e.progress import Progress, silent
from mister_e.training.runs import first_difference
from mister_e.training.settings import PairingConfig
from mister_e.training.stage2.conditions import TestCondition, conditions_of
from mister_e.training.stage2.pairing import VoiceStores

#: File in the folder of a run with a line for every time that test was scored.
RECORD = "test_scored.jsonl"

#: Splits that can be scored; a score on train tells nothing.
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class _SeedPredictions:
    """Predictions of one seed for a split, and its own temperatures."""

    predictions: Predictions
    trained: ModelFolder

    @property
    def temperature(self) -> NDArray[np.float64]:
        """Temperature of each turn `[N, 1]`."""
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
    _check_split(split)
    seeds = load_seeds(run)
    for trained in seeds.values():
        check_store(trained, store, mode)
    predictions_by_seed = _predict(seeds, store, split, mode, progress)
    labels = store.protocol.labels
    cards = {
        seed: score(own.predictions, labels, temperature=own.temperature)
        for seed, own in predictions_by_seed.items()
    }
    together = None
    if len(seeds) > 1:
        chosen_by = (
            predictions_by_seed
            if split == "validation"
            else _predict(seeds, store, "validation", mode, progress)
        )
        together = _ensemble(predictions_by_seed, chosen_by, store)
    evaluation = Evaluation(
        ScoreProtocol.of_store(store, split, mode=mode, seeds=tuple(seeds)),
        _metadata(seeds),
        cards,
        together,
    )
    if split != "test":
        return evaluation
    return replace(evaluation, test_scored=_record(run, {mode: evaluation}, now()))


def evaluate_conditions(
    run: Path,
    store: EmbeddingStore,
    voices: VoiceStores,
    *,
    split: str = "validation",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    progress: Progress = silent,
) -> dict[str, Evaluation]:
    """Score every seed of a paired run under each condition: words alone, voices alone, and both.

    :param run: of a recipe with `pairing:`; see `evaluate_run`.
    :param store: that it was trained on.
    :param voices: stores of clips, of corpora that it was trained on or of others.
    :param split: "validation" or "test".
    :param now: gives the time that the record says.
    :param progress: told of turns, as stage "predict".
    :return: name of a condition to its scores.
    :raises InputError: as `evaluate_run`; the run was not paired; the clips are of another encoder, or of a
        corpus that was prepared otherwise.
    """
    _check_split(split)
    seeds = load_seeds(run)
    for trained in seeds.values():
        check_store(trained, store)
    training = next(iter(seeds.values())).config.training
    if "pairing" not in training:
        raise InputError(
            f"{run}: its recipe has no mixture.pairing, so that it has no conditions; leave --voices and"
            " --speech out"
        )
    voices.check(store)
    for name, sha256 in voices.sha256.items():
        before = training.get("voices", {}).get(name, sha256)
        if before != sha256:
            raise InputError(
                f"{voices.corpora[name].folder}: it is of {name} {sha256[:12]}…, the model was trained on"
                f" {name} {before[:12]}…: the same corpus, prepared otherwise, whose test split may hold"
                " voices that were trained on; use the store that it was trained on"
            )
    pairing = PairingConfig.model_validate(training["pairing"])
    neutral = [name for name in pairing.neutral_corpora if name in voices.corpora]
    labels = store.protocol.labels
    clips = voices.clips(split, labels, neutral)
    evaluations = {}
    for condition in conditions_of(list(store.conversations(split)), clips, pairing):
        protocol = ScoreProtocol.of_store(store, split, mode=condition.name, seeds=tuple(seeds))
        if condition.corpora:
            protocol = replace(
                protocol,
                corpus=voices.protocol(condition.corpora, labels),
                corpus_sha256=voices.digest(condition.corpora),
            )
        evaluations[condition.name] = _under(condition, protocol, seeds, progress)
    if split != "test":
        return evaluations
    times = _record(run, evaluations, now())
    return {name: replace(evaluation, test_scored=times) for name, evaluation in evaluations.items()}


def _under(
    condition: TestCondition,
    protocol: ScoreProtocol,
    seeds: Mapping[int, ModelFolder],
    progress: Progress,
) -> Evaluation:
    """Score every seed under a condition."""
    cards, choice = {}, None
    for seed, trained in seeds.items():
        predictions = predict(trained.mixture, condition.conversations, progress=progress)
        temperature = temperatures(trained.calibration, predictions)
        labels = trained.labels
        if condition.among_present:
            same = LabelMap(labels, {label: label for label in labels}, {})
            predictions, labels, choice = restrict_to_present(
                predictions, same, f"condition {condition.name!r}"
            )
        cards[seed] = score(predictions, labels, temperature=temperature)
    notes = (condition.note,) if condition.note else ()
    return Evaluation(protocol, _metadata(seeds), cards, choice=choice, notes=notes)


def write_conditions(evaluations: Mapping[str, Evaluation], out: Path) -> list[Path]:
    """Write the scores under each condition as JSON.

    :param evaluations: of `evaluate_conditions`.
    :param out: folder; made where it is missing.
    :return: the files, named by the conditions.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, evaluation in evaluations.items():
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        paths.append(out / f"evaluation-{evaluation.protocol.split}-{slug}.json")
        write_text(paths[-1], json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False) + "\n")
    return paths


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


def load_seeds(run: Path) -> dict[int, ModelFolder]:
    """Load the mixtures of a run.

    :param run: a folder of `mister-e train`, or that of one of its seeds.
    :return: seed to mixture, rising.
    :raises InputError: there is none, one of the seeds is not finished, or they are not of one recipe.
    """
    folders = sorted(folder for folder in run.glob("seed-*") if folder.is_dir())
    if not folders:
        trained = ModelFolder.load(run, encoders=False)
        return {_seed(trained): trained}
    unfinished = [folder for folder in folders if not (folder / "model" / "config.json").is_file()]
    if unfinished:
        raise InputError(
            f"{unfinished[0]}: not finished; run mister-e train again, or evaluate a finished seed's folder"
        )
    loaded = [ModelFolder.load(folder, encoders=False) for folder in folders]
    for other, folder in zip(loaded[1:], folders[1:], strict=True):
        if field := first_difference(_shared(loaded[0].config), _shared(other.config)):
            raise InputError(
                f"{folder}: another {field[0]} than {folders[0].name}: seeds of one run differ in the seed"
                " alone; evaluate each by its own folder"
            )
    return {_seed(trained): trained for trained in sorted(loaded, key=_seed)}


def check_store(trained: ModelFolder, store: EmbeddingStore, mode: str = "full") -> None:
    """Refuse a store of other encoders or labels than a mixture was trained on.

    So is the same corpus, prepared otherwise: its test split may hold what was trained on here.

    :param trained: the mixture, of a run or of a model folder.
    :param mode: what the mixture will be shown: "text-only" needs no embeddings of speech.
    :raises InputError: names both.
    """
    labels, training = trained.labels, trained.config.training
    if store.protocol.labels != labels:
        raise InputError(
            f"{store.folder}: its labels are {', '.join(store.protocol.labels)},"
            f" the model's are {', '.join(labels)}"
        )
    before, now = training.get("corpus_sha256", ""), store.metadata["corpus_sha256"]
    protocol = training.get("protocol") or {}
    if before != now and protocol.get("corpus") == store.protocol.corpus:
        raise InputError(
            f"{store.folder}: it is of {store.protocol.name} {now[:12]}…, the model was trained on"
            f" {protocol['name']} {before[:12]}…: the same corpus, prepared otherwise, whose"
            " test split may hold turns that were trained on; use the store that it was trained on"
        )
    for modality in needed_modalities(trained.config.mixture):
        ours, theirs = trained.config.encoders.get(modality), store.metadata["encoders"].get(modality)
        other = "text" if modality == "speech" else "speech"
        if ours is not None and theirs is None and mode != f"{other}-only":
            raise InputError(
                f"{store.folder}: it holds no {modality} embeddings, which the model was trained on;"
                f" run mister-e embed for them, or evaluate with --mode {other}-only"
            )
        if ours is not None and theirs is not None and ours.identity != theirs["identity"]:
            raise InputError(
                f"{store.folder}: its {modality} embeddings are by"
                f" {theirs['name'] or theirs['kind']} {theirs['identity'][:12]}…,"
                f" the model was trained on those by {ours.called};"
                " use the store that it was trained on"
            )


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r} to score: there are {' and '.join(SPLITS)}")


def _seed(trained: ModelFolder) -> int:
    return int(trained.config.training.get("seed", 0))


def _shared(config: ModelConfig) -> dict[str, Any]:
    """What the seeds of one run have in common."""
    return {
        "labels": config.labels,
        "model": config.mixture.model_dump(mode="json"),
        "loss": config.training.get("loss"),
        "corpus_sha256": config.training.get("corpus_sha256"),
        "encoders": {modality: encoder.identity for modality, encoder in config.encoders.items()},
    }


def _predict(
    seeds: Mapping[int, ModelFolder], store: EmbeddingStore, split: str, mode: Mode, progress: Progress
) -> dict[int, _SeedPredictions]:
    """Predictions of every seed for a split."""
    conversations = list(store.conversations(split))
    return {
        seed: _SeedPredictions(predict(trained.mixture, conversations, mode=mode, progress=progress), trained)
        for seed, trained in seeds.items()
    }


def _ensemble(
    predictions_by_seed: Mapping[int, _SeedPredictions],
    chosen_by: Mapping[int, _SeedPredictions],
    store: EmbeddingStore,
) -> Scorecard:
    """Score the mean probabilities of the seeds.

    A mean is less confident than its parts, so it gets a temperature of its own, fitted on validation.

    :param predictions_by_seed: of the split that is scored.
    :param chosen_by: of validation.
    """
    together, validation = (
        ensemble([own.predictions for own in seeds.values()], [own.temperature for own in seeds.values()])
        for seeds in (predictions_by_seed, chosen_by)
    )
    scored = validation.scored
    temperature = 1.0
    if scored.any():
        logits = torch.from_numpy(validation.logits[scored])
        temperature = fit_temperature(logits, torch.from_numpy(validation.labels[scored]))
    return score(together, store.protocol.labels, temperature=temperature)


def _metadata(seeds: Mapping[int, ModelFolder]) -> dict[str, Any]:
    """Metadata of the model: what the seeds have in common, and the weights of each."""
    first = next(iter(seeds.values()))
    config = first.config
    return {
        "recipe": config.training.get("recipe"),
        "trained by": f"mister-e {config.version}",
        "parameters": sum(weight.numel() for weight in first.mixture.parameters()),
        "sizes": config.mixture.model_dump(mode="json"),
        "loss": config.training.get("loss"),
        "training": config.training.get("train"),
        "weights": {
            f"seed {seed}": trained.config.files.get(WEIGHTS) or trained.config.files.get("model.safetensors")
            for seed, trained in seeds.items()
        },
    }


def _record(run: Path, evaluations: Mapping[str, Evaluation], now: datetime) -> int:
    """Note that test was scored, before anybody sees the scores.

    :param evaluations: what the model was shown to its scores.
    :return: how often that makes it.
    """
    home = run.resolve()
    if home.name == "model":
        home = home.parent
    if home.name.startswith("seed-"):
        home = home.parent
    path = home / RECORD
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    first = next(iter(evaluations.values()))
    scores = {name: evaluation.scores["weighted_f1"] for name, evaluation in evaluations.items()}
    several = len(scores) > 1
    line = {
        "when": now.isoformat(timespec="seconds"),
        "mode": "conditions" if several else first.protocol.mode,
        "seeds": list(first.protocol.seeds),
        "weighted_f1": scores if several else first.scores["weighted_f1"],
        "weights": first.model["weights"],
    }
    write_text(path, before + json.dumps(line, ensure_ascii=False) + "\n")
    return len(before.splitlines()) + 1
