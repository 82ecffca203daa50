"""Train and score the baselines on a store: settings chosen on validation, each seed scored on test once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.baselines.classic import logistic_regression, majority
from mister_e.evaluation.baselines.inputs import BaselineInput, Fit, as_predictions, baseline_inputs
from mister_e.evaluation.baselines.networks import BcLstm, Mlp, TurnTransformer, network
from mister_e.evaluation.protocol import ScoreProtocol, check_scorable
from mister_e.evaluation.scorecard import score
from mister_e.files import write_text
from mister_e.inference.calibration import fit_temperature
from mister_e.labels import LabelSet
from mister_e.metrics.summary import mean_std_by_name, mean_std_text
from mister_e.progress import Progress, silent
from mister_e.training.runs import check_run_config, check_unique

FORMAT = 1

SCORED = ("validation", "test")


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    :param fit: trains it.
    :param seeded: whether a seed changes the result; if not, it is trained once.
    """

    fit: Fit
    seeded: bool = True


#: All baselines, simplest first.
BASELINES = {
    "majority": Baseline(majority, seeded=False),
    "logistic-regression": Baseline(logistic_regression, seeded=False),
    "mlp": Baseline(network(Mlp)),
    "bc-lstm": Baseline(network(BcLstm)),
    "transformer": Baseline(network(TurnTransformer)),
}


def run_baselines(
    store: EmbeddingStore,
    out: Path,
    *,
    seeds: Sequence[int],
    names: Sequence[str] = tuple(BASELINES),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and score baselines; a run that is finished is not done again.

    :param store: embeddings of any corpus.
    :param out: folder for `<baseline>/seed-N.json`, `baselines.json` and `baselines.md`.
    :param seeds: one run each, for the baselines that a seed changes.
    :param names: names of `BASELINES`.
    :param progress: told of finished runs, as stage "baselines".
    :return: what `baselines.json` holds.
    :raises InputError: the folder holds baselines of another store, or a name is unknown.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise InputError(f"unknown baseline {unknown[0]!r}: there are {', '.join(BASELINES)}")
    protocol = ScoreProtocol.of_store(store, "test", seeds=check_unique(seeds))
    check_scorable(store, ("train", *SCORED))
    identities = {modality: encoder["identity"] for modality, encoder in protocol.encoders.items()}
    check_run_config(out, {"format": FORMAT, "corpus_sha256": protocol.corpus_sha256, "encoders": identities})
    plan = [(name, seed) for name in names for seed in (seeds if BASELINES[name].seeded else seeds[:1])]
    inputs: dict[str, list[BaselineInput]] = {}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for done, (name, seed) in enumerate(plan):
        progress("baselines", done, len(plan))
        # a baseline that no seed changes has one file, whatever the seeds
        path = out / name / (f"seed-{seed}.json" if BASELINES[name].seeded else "result.json")
        if not path.is_file():
            inputs = inputs or baseline_inputs(store)
            path.parent.mkdir(exist_ok=True)
            result = run_seed(BASELINES[name], inputs, protocol.corpus.labels, seed)
            write_text(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        results[name].append(json.loads(path.read_text(encoding="utf-8")))
    progress("baselines", len(plan), len(plan))
    summary = {
        "format": FORMAT,
        "protocol": protocol.to_json(),
        "baselines": {name: _summary(rows, seeded=BASELINES[name].seeded) for name, rows in results.items()},
    }
    write_text(out / "baselines.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "baselines.md", markdown(summary))
    return summary


def markdown(summary: dict[str, Any]) -> str:
    """Table of the baselines: weighted F1 on validation, and all scores on test.

    :param summary: from `run_baselines`.
    """
    head = ("baseline", "seeds", "validation weighted F1", "weighted F1", "accuracy", "macro F1", "ECE")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in summary["baselines"].items():
        test = row["test"]
        cells = [name, "-" if row["seeds"] is None else str(len(row["seeds"]))]
        cells.append(mean_std_text(row["validation"]["weighted_f1"]))
        cells += [mean_std_text(test[score]) for score in ("weighted_f1", "accuracy", "macro_f1")]
        lines.append("| " + " | ".join([*cells, mean_std_text(test["ece"], 3)]) + " |")
    return "\n".join(lines) + "\n"


def run_seed(
    baseline: Baseline, inputs: Mapping[str, Sequence[BaselineInput]], labels: LabelSet, seed: int
) -> dict[str, Any]:
    """Train a baseline with one seed, fit its temperature on validation, and only then score test.

    :param baseline: what to train.
    :param inputs: split to conversations.
    :param labels: the classes.
    :param seed: of the training.
    :return: JSON-ready: seed, chosen settings, and the scorecard of validation and of test.
    """
    fitted = baseline.fit(inputs["train"], inputs["validation"], len(labels), seed)
    validation = as_predictions(inputs["validation"], fitted.predict(inputs["validation"]))
    scored = validation.scored
    temperature = fit_temperature(
        torch.from_numpy(validation.logits[scored]), torch.from_numpy(validation.labels[scored])
    )
    result: dict[str, Any] = {"seed": seed if baseline.seeded else None, "chosen": dict(fitted.chosen)}
    for split in SCORED:
        predictions = as_predictions(inputs[split], fitted.predict(inputs[split]))
        result[split] = score(predictions, labels, temperature=temperature).to_json()
    return result


def _summary(results: Sequence[dict[str, Any]], *, seeded: bool) -> dict[str, Any]:
    """Mean ± sd over the seeds of each split."""
    return {
        "seeds": [result["seed"] for result in results] if seeded else None,
        "chosen": [result["chosen"] for result in results],
        **{split: mean_std_by_name([result[split]["scores"] for result in results]) for split in SCORED},
        "turns": {split: results[0][split]["turns"] for split in SCORED},
    }
