"""Ablations: train variants of one recipe, each without a part of the method, and score them alike."""

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

#: The recipe unchanged, which the other variants are compared with.
FULL = "full"

#: Variant to the recipe fields that it changes.
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

#: Fractions of the turns that lose a modality when the full model is evaluated.
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: The modality that they lose: always text, always speech, or either with equal probability.
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

    :param recipe: the recipe that the variants change.
    :param store: embeddings of both modalities.
    :param out: folder for one folder a variant, `ablation.json` and `ablation.md`.
    :param seeds: seeds instead of the recipe's.
    :param variants: names of `VARIANTS`.
    :param progress: told of steps and turns.
    :return: what `ablation.json` holds.
    :raises InputError: the folder holds runs of another recipe or store, or there is no such variant.
    """
    if recipe.stage2().pairing is not None:
        raise InputError(
            f"recipe {recipe.name}: an ablation has no voices to pair with; take mixture.pairing out of it"
        )
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise InputError(f"there is no variant {unknown[0]!r}: the variants are {', '.join(VARIANTS)}")
    seeds = check_unique(seeds) or recipe.seeds
    check_scorable(store, _SPLITS)
    rows, robustness = [], []
    for number, name in enumerate(variants, start=1):
        variant = recipe.changed(VARIANTS[name])
        folder = out / name.replace(" ", "-")

        prefix = f"{number}/{len(variants)} {name}"

        def prefixed(stage: str, done: float, total: float, prefix: str = prefix) -> None:
            progress(f"{prefix} · {stage}", done, total)

        run_stage2(variant, store, folder, seeds=seeds, progress=prefixed)
        scores = [_scores_of_seed(folder / f"seed-{seed}", store, robust=name == FULL) for seed in seeds]
        rows.append({"variant": name, "changes": dict(VARIANTS[name]), **_over_seeds(scores)})
        if name == FULL:
            robustness = _robustness_over_seeds(scores)
    table = {
        "recipe": recipe.name,
        "protocol": store.protocol.to_json(),
        "corpus_sha256": store.metadata["corpus_sha256"],
        "encoders": {
            modality: {field: encoder[field] for field in ("name", "kind", "identity", "dim")}
            for modality, encoder in store.metadata["encoders"].items()
        },
        "selection": "validation",
        "seeds": list(seeds),
        "variants": rows,
        "robustness": robustness,
    }
    write_text(out / "ablation.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "ablation.md", to_markdown(table))
    return table


def drop_modality(
    conversations: Sequence[StoredConversation], lost: str, fraction: float, *, seed: int = 0
) -> list[StoredConversation]:
    """Remove a modality from a random fraction of the turns that have both; a turn keeps its only modality.

    With one seed, the turns of a larger fraction include those of a smaller one, so that a curve over the
    fractions compares like with like.

    :param lost: "text", "speech", or "either" with equal probability.
    :param fraction: fraction of the turns, 0 to 1.
    :param seed: seed of the random draws.
    """
    random = np.random.default_rng(seed)
    result = []
    for conversation in conversations:
        draw, coin = torch.from_numpy(random.random((2, len(conversation))))
        chosen = (draw < fraction) & conversation.has_text & conversation.has_speech
        text = {"text": chosen, "speech": torch.zeros_like(chosen), "either": chosen & (coin < 0.5)}[lost]
        speech = chosen & ~text
        result.append(
            replace(
                conversation,
                has_text=conversation.has_text & ~text,
                has_speech=conversation.has_speech & ~speech,
            )
        )
    return result


def to_markdown(table: Mapping[str, Any]) -> str:
    """The ablation as Markdown tables: mean ± sd over seeds, and the difference Δ to the full model.

    :param table: what `ablate` returns.
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
        lines += [
            "",
            "Test weighted F1 of the full model where a fraction of the turns loses a modality:",
            "",
        ]
        lines += ["| turns that lose | " + " | ".join(f"{fraction:.0%}" for fraction in FRACTIONS) + " |"]
        lines += ["|---" + "|---:" * len(FRACTIONS) + "|"]
        for lost in LOST:
            cells = [mean_std_text(row["test"], 2) for row in table["robustness"] if row["lost"] == lost]
            lines.append(f"| {lost} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _scores_of_seed(run: Path, store: EmbeddingStore, *, robust: bool) -> dict[str, Any]:
    """Scores of one seed of a variant, computed once and then read from its folder."""
    path = run / "scores.json"
    if not path.is_file():
        trained = ModelFolder.load(run, encoders=False)
        splits = {split: list(store.conversations(split)) for split in _SPLITS}
        scores: dict[str, Any] = {split: _score(trained, splits[split]) for split in _SPLITS}
        if robust:
            scores["robustness"] = [
                {
                    "lost": lost,
                    "rate": fraction,
                    **{
                        split: _score(trained, drop_modality(conversations, lost, fraction))["weighted_f1"]
                        for split, conversations in splits.items()
                    },
                }
                for lost in LOST
                for fraction in FRACTIONS
            ]
        write_text(path, json.dumps(scores, indent=1) + "\n")
        # a finished run does not need its checkpoint, and an ablation has many runs
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _score(trained: ModelFolder, conversations: Sequence[StoredConversation]) -> dict[str, float]:
    """Scores of one model on some conversations."""
    predictions = predict(trained.mixture, conversations)
    card = score(predictions, trained.labels, temperature=temperatures(trained.calibration, predictions))
    return {name: card.scores[name] for name in _SCORES} | {"turns": card.turns, "unjudged": card.unjudged}


def _over_seeds(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of each score over the seeds, and each seed's weighted F1."""
    return {
        split: {
            **{name: mean_std([seed[split][name] for seed in scores]) for name in _SCORES},
            "turns": scores[0][split]["turns"],
            "unjudged": scores[0][split]["unjudged"],
            "each": [seed[split]["weighted_f1"] for seed in scores],
        }
        for split in _SPLITS
    }


def _robustness_over_seeds(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds at each fraction."""
    rows = zip(*(seed["robustness"] for seed in scores), strict=True)
    return [
        {
            "lost": row[0]["lost"],
            "rate": row[0]["rate"],
            **{split: mean_std([seed[split] for seed in row]) for split in _SPLITS},
        }
        for row in rows
    ]
