"""Training of the network that tells changes of voice: one run a seed, each in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from mister_e.corpora.clips import MANIFEST
from mister_e.encoders.voices.network import VoiceChangeNetwork
from mister_e.encoders.voices.persistence import load_network, save_network
from mister_e.errors import MisterEError
from mister_e.files import sha256, write_text
from mister_e.metrics.summary import mean_std
from mister_e.progress import Progress, silent
from mister_e.training.loop import Loop
from mister_e.training.runs import check_run_config, check_unique, process_count
from mister_e.training.runtime import seed_everything
from mister_e.training.settings.voices import VoicesRecipe
from mister_e.training.voices.clips import Voices, find_folders, read_voices
from mister_e.training.voices.states import keep_states
from mister_e.training.voices.task import SCORE, VoiceTask, judged, limit_of, scores
from mister_e.training.weight_averaging import WeightAverage
from mister_e.version import installed_versions

#: Folder of a run that holds what was trained.
NETWORK = "voices"


def run_voices(
    name: str,
    recipe: VoicesRecipe,
    data: Sequence[Path],
    out: Path,
    seeds: Sequence[int],
    *,
    test: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train, seed after seed; what is done already is not done again.

    :param name: of the recipe.
    :param recipe: its section `voices`.
    :param data: folders that hold the corpora that it names, clips as they lie.
    :param out: gets `seed-N/` and `summary.json`.
    :param seeds: one run each.
    :param test: score what was kept on voices of the test split too, once.
    :param progress: told of clips and steps.
    :return: the summary.
    :raises InputError: a corpus is missing, tells no voices, or the folder holds another run.
    :raises MisterEError: several processes were started.
    """
    if process_count() > 1:
        raise MisterEError("the part voices is trained by one process: start it without accelerate launch")
    folders = find_folders(list(recipe.corpora), data)
    results = []

    def voices(split: str) -> list[Voices]:
        most = recipe.train.clips_per_voice
        return read_voices(
            folders, recipe.corpora, split, out / "kept", clips_per_voice=most, progress=progress
        )

    @cache
    def states(split: str) -> list[Path]:
        network = VoiceChangeNetwork(recipe.network)
        kept = out / "kept"
        return keep_states(network, recipe, split, partial(voices, split), kept, progress=progress)

    for seed in check_unique(seeds):
        run = out / f"seed-{seed}"
        config = {
            "part": "voices",
            "seed": seed,
            "recipe": recipe.model_dump(mode="json", exclude={"train": {"seed"}}),
            "corpora": {corpus: sha256(folder / MANIFEST) for corpus, folder in folders.items()},
        }
        check_run_config(run, config)
        if not (run / "result.json").is_file():
            _train(run, recipe, states, config, progress)
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        if test and "test" not in result:
            result["test"] = scores(judged(load_network(run / NETWORK), states("test")))
            write_text(run / "result.json", json.dumps(result, indent=2) + "\n")
        results.append(result)
    summary = {
        "recipe": name,
        "part": "voices",
        "corpus": ", ".join(folders),
        "seeds": [result["seed"] for result in results],
        SCORE: mean_std([result[SCORE] for result in results]),
    }
    if all("test" in result for result in results):
        summary["test_auc"] = mean_std([result["test"][SCORE] for result in results])
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _train(
    run: Path,
    recipe: VoicesRecipe,
    states: Callable[[str], Sequence[Path]],
    config: dict[str, Any],
    progress: Progress,
) -> None:
    """Train with one seed and keep the network."""
    settings = recipe.train.model_copy(update={"seed": config["seed"]})
    train, validation = states("train"), states("validation")
    seed_everything(settings.seed)
    network = VoiceChangeNetwork(recipe.network)
    average = WeightAverage(settings.ema, None) if settings.ema else None
    task = VoiceTask(network, train, validation, settings)
    trained = Loop(task, settings, run, average=average, score=SCORE).fit(progress)
    # so that half is the probability above which a moment is taken for a change
    limit = limit_of(judged(network, validation))
    with torch.no_grad():
        network.last_bias.sub_(limit)
    save_network(network, run / NETWORK)
    best = trained.history[trained.best_epoch]
    result = {
        **config,
        "best_epoch": trained.best_epoch,
        SCORE: best[SCORE],
        "limit": limit,
        "history": list(trained.history),
        "versions": installed_versions(),
    }
    write_text(run / "result.json", json.dumps(result, indent=2) + "\n")
