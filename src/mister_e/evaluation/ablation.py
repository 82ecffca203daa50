"""Ablations: what each part of the method brings, as changes over one recipe, under one protocol."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mister_e.encoders.conversations import StoredConversation
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.protocol import check_scorable
from mister_e.evaluation.scorecard import score
from mister_e.files import write_text
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.metrics.summary import mean_std, mean_std_text
from mister_e.progress import Progress, silent
from mister_e.training.recipe import Recipe
from mister_e.training.runs import check_unique
from mister_e.training.stage2.run import run_stage2

#: The recipe as it is: what the others are compared with.
FULL = "full"

#: Variant to the fields that it changes.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    FULL: {},
    "speech expert alone": {"mixture.model.experts": ["speech"]},
    "text expert alone": {"mixture.model.experts": ["text"]},
    "fusion expert alone": {"mixture.model.experts": ["fusion"]},
    "average instead of the gate": {"mixture.model.gate": "average"},
    "vote instead of the gate": {"mixture.model.gate": "vote"},
    "concatenation instead of the gate": {"mixture.model.gate": "concatenation"},
    "gate on representations": {"mixture.model.gate_input": "representations"},
    "without SupCon": {"mixture.loss.contrastive": 0.0},
    "without KL": {"mixture.loss.consistency": 0.0},
    "without convolutions": {"mixture.model.convolutions": False},
    "without GRU": {"mixture.model.gru": False},
}

#: Shares of turns that lose a modality when the full model is evaluated.
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: What they lose: always the one, always the other, or either.
LOST = ("text", "speech", "either")

_SPLITS = ("validation", "test")
_SCORES = ("weighted_f1", "accuracy", "macro_f1", "ece")


def ablate(
    recipe: Recipe,
    store: EmbeddingStore,
    out: Path,
    *,
    seeds: Sequence[int] = (),
    variants: Sequence[str] = tuple(VARIANTS),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train every variant with every seed, and score each on validation and, once, on test.

    A variant and seed that is finished is neither trained nor scored again.

    :param recipe: what the variants change.
    :param store: of both modalities.
    :param out: gets a folder a variant, `ablation.json` and `ablation.md`.
    :param seeds: instead of the recipe's.
    :param variants: names of `VARIANTS`.
    :param progress: told of steps and turns.
    :return: what `ablation.json` holds.
    :raises InputError: the folder holds runs of another recipe or store, or there is no such variant.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise InputError(f"there is no variant {unknown[0]!r}: the variants are {', '.join(VARIANTS)}")
    seeds = check_unique(seeds) or recipe.seeds
    check_scorable(store, _SPLITS)
    rows, robustness = [], []
    for number, name in enumerate(variants, start=1):
        variant = recipe.changed(VARIANTS[name])
        folder = out / name.replace(" ", "-")

        head = f"{number}/{len(variants)} {name}"

        def named(stage: str, done: float, total: float, head: str = head) -> None:
            progress(f"{head} · {stage}", done, total)

        run_stage2(variant, store, folder, seeds=seeds, progress=named)
        scored = [_scored(folder / f"seed-{seed}", store, robust=name == FULL) for seed in seeds]
        rows.append({"variant": name, "changes": dict(VARIANTS[name]), **_together(scored)})
        if name == FULL:
            robustness = _robust_together(scored)
    table = {
        "recipe": recipe.name,
        "protocol": store.protocol.to_json(),
        "corpus_sha256": store.metadata["corpus_sha256"],
        "encoders": {
            modality: {field: facts[field] for field in ("name", "kind", "identity", "dim")}
            for modality, facts in store.metadata["encoders"].items()
        },
        "selection": "validation",
        "seeds": list(seeds),
        "variants": rows,
        "robustness": robustness,
    }
    write_text(out / "ablation.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "ablation.md", to_markdown(table))
    return table


def without_modality(
    conversations: Sequence[StoredConversation], lost: str, rate: float, *, seed: int = 0
) -> list[StoredConversation]:
    """Take a modality from a random share of the turns that have both; what a turn has alone it keeps.

    A higher rate takes all that a lower one takes, and more.

    :param lost: "text", "speech" or "either", evenly.
    :param rate: share of the turns.
    :param seed: of what is drawn.
    """
    random = np.random.default_rng(seed)
    result = []
    for one in conversations:
        hit, coin = torch.from_numpy(random.random((2, len(one))))
        hit = (hit < rate) & one.has_text & one.has_speech
        text = {"text": hit, "speech": torch.zeros_like(hit), "either": hit & (coin < 0.5)}[lost]
        result.append(replace(one, has_text=one.has_text & ~text, has_speech=one.has_speech & ~(hit & ~text)))
    return result


def to_markdown(table: Mapping[str, Any]) -> str:
    """The ablation as tables: mean ± sd over seeds, of test but for the first, Δ to the full model.

    :param table: what `ablate` gives.
    """
    lines = [
        "| variant | validation weighted F1 | test weighted F1 | Δ | accuracy | macro F1 | ECE |",
        "|---" + "|---:" * 6 + "|",
    ]
    means = {row["variant"]: row["test"]["weighted_f1"]["mean"] for row in table["variants"]}
    full = means.get(FULL)
    for row in table["variants"]:
        test = row["test"]
        delta = "" if full is None or row["variant"] == FULL else f"{test['weighted_f1']['mean'] - full:+.2f}"
        cells = [
            row["variant"],
            mean_std_text(row["validation"]["weighted_f1"], 2),
            mean_std_text(test["weighted_f1"], 2),
            delta,
            mean_std_text(test["accuracy"], 2),
            mean_std_text(test["macro_f1"], 2),
            mean_std_text(test["ece"], 3),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if table["robustness"]:
        lines += ["", "Test weighted F1 of the full model where a share of the turns loses a modality:", ""]
        lines += ["| turns that lose | " + " | ".join(f"{rate:.0%}" for rate in RATES) + " |"]
        lines += ["|---" + "|---:" * len(RATES) + "|"]
        for lost in LOST:
            cells = [mean_std_text(row["test"], 2) for row in table["robustness"] if row["lost"] == lost]
            lines.append(f"| {lost} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _scored(run: Path, store: EmbeddingStore, *, robust: bool) -> dict[str, Any]:
    """Scores of one seed of a variant; test is scored here, once."""
    path = run / "scores.json"
    if not path.is_file():
        trained = ModelFolder.load(run, encoders=False)
        splits = {split: list(store.conversations(split)) for split in _SPLITS}
        scores: dict[str, Any] = {split: _score(trained, turns) for split, turns in splits.items()}
        if robust:
            scores["robustness"] = [
                {
                    "lost": lost,
                    "rate": rate,
                    **{
                        split: _score(trained, without_modality(turns, lost, rate))["weighted_f1"]
                        for split, turns in splits.items()
                    },
                }
                for lost in LOST
                for rate in RATES
            ]
        write_text(path, json.dumps(scores, indent=1) + "\n")
        # a finished run needs it no more, and there are many of them
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _score(trained: ModelFolder, conversations: Sequence[StoredConversation]) -> dict[str, float]:
    """Scores of one model on some conversations."""
    said = predict(trained.mixture, conversations)
    card = score(said, trained.labels, temperature=temperatures(trained.calibration, said))
    return {name: card.scores[name] for name in _SCORES} | {"turns": card.turns, "unjudged": card.unjudged}


def _together(scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of each score over the seeds, and each seed's own."""
    return {
        split: {
            **{name: mean_std([one[split][name] for one in scored]) for name in _SCORES},
            "turns": scored[0][split]["turns"],
            "unjudged": scored[0][split]["unjudged"],
            "each": [one[split]["weighted_f1"] for one in scored],
        }
        for split in _SPLITS
    }


def _robust_together(scored: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds at each rate."""
    rows = zip(*(one["robustness"] for one in scored), strict=True)
    return [
        {
            "lost": row[0]["lost"],
            "rate": row[0]["rate"],
            **{split: mean_std([one[split] for one in row]) for split in _SPLITS},
        }
        for row in rows
    ]


