"""Stage 1 of a recipe on prepared corpora: one run a seed, each in a folder of its own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mister_e.conversation import Conversation
from mister_e.corpora.store import Corpus, find_corpus
from mister_e.encoders.base import UtteranceEncoder, on_fastest_device
from mister_e.encoders.registry import load_encoder, new_encoder
from mister_e.errors import InputError
from mister_e.experts import Modality
from mister_e.files import write_text
from mister_e.labels import LabelSet
from mister_e.metrics.classification import class_scores, confusion_matrix, overall_scores
from mister_e.metrics.summary import mean_std
from mister_e.progress import Progress, silent
from mister_e.training.loop import SCORE, Trained
from mister_e.training.recipe import EncoderRecipe, Recipe
from mister_e.training.runs import check_run_config, check_unique, is_main, wait_for_everyone
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import AugmentationConfig, FinetuneSettings
from mister_e.training.stage1.classify import classify, positions_of
from mister_e.training.stage1.task import finetune
from mister_e.training.stage1.warm_start import find_start, go_on_from
from mister_e.version import installed_versions


def find_corpora(chosen: EncoderRecipe, folders: Sequence[Path]) -> dict[str, Corpus]:
    """Load the corpora that a part of a recipe is trained on.

    :param chosen: the part.
    :param folders: hold the corpora that it names; where it names none, the one folder is the corpus.
    :return: by name; the first one's labels hold.
    :raises InputError: one is missing, or their labels are not the same.
    """
    if chosen.corpora is None:
        if len(folders) != 1:
            raise InputError(
                f"--data was given {len(folders)} times, and the recipe names no corpora: give one folder, or"
                " name them in the recipe"
            )
        return {folders[0].resolve().name: Corpus.load(folders[0])}
    corpora = {name: find_corpus(name, folders) for name in chosen.corpora}
    first = next(iter(corpora.values()))
    for corpus in corpora.values():
        other = [label for label in corpus.protocol.labels if label not in first.protocol.labels]
        if other:
            raise InputError(
                f"{corpus.folder}: its label {other[0]!r} is none of {', '.join(first.protocol.labels)}, the"
                f" labels of {first.folder}; prepare both with the same labels"
            )
    return corpora


def run_stage1(
    recipe: Recipe,
    part: str,
    corpora: Mapping[str, Corpus],
    out: Path,
    *,
    seeds: Sequence[int] = (),
    test: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune one part of a recipe, seed after seed; what is done already is not done again.

    :param recipe: what to do.
    :param part: "text" or "speech".
    :param corpora: by name, see `find_corpora`: trained on their train splits.
    :param out: gets `seed-N/` and `summary.json`.
    :param seeds: instead of the recipe's.
    :param test: score the kept encoders on the test split, each once.
    :param progress: told of steps and turns.
    :return: the summary.
    :raises InputError: the folder holds a run of another recipe or corpus.
    :raises MisterEError: the recipe has `sampling`, and several processes were started.
    """
    chosen = recipe.part(part)
    first = next(iter(corpora.values()))
    kind = _Conversations if chosen.sampling is None else _Clips
    data = kind(chosen, corpora, out / "kept")
    results = []
    for seed in check_unique(seeds) or recipe.seeds:
        run = out / f"seed-{seed}"
        config = {
            "part": part,
            "seed": seed,
            "recipe": _settings(chosen, part),
            "protocol": first.protocol.to_json(),
            "corpora": {name: corpus.metadata["table_sha256"] for name, corpus in corpora.items()},
        }
        check_run_config(run, config)
        if not (run / "result.json").is_file():
            _train(run, chosen, data, config, progress)
            wait_for_everyone()
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        if test and is_main() and "test" not in result:
            encoder = on_fastest_device(load_encoder(run / "encoder"))
            result["test"] = data.test_scores(encoder)
            write_text(run / "result.json", json.dumps(result, indent=2) + "\n")
        results.append(result)
    summary = {
        "recipe": recipe.name,
        "part": part,
        "corpus": first.protocol.name if len(corpora) == 1 else ", ".join(corpora),
        "seeds": [result["seed"] for result in results],
        "validation_weighted_f1": mean_std([result["validation_weighted_f1"] for result in results]),
    }
    if all("test" in result for result in results):
        summary["test_weighted_f1"] = mean_std([result["test"]["weighted_f1"] for result in results])
    if is_main():
        write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


class _Data(ABC):
    """The corpora of a run, and the training that they are for.

    :param chosen: the part of the recipe.
    :param corpora: by name.
    :param kept: folder for what is slow to make and the same for every seed.
    """

    def __init__(self, chosen: EncoderRecipe, corpora: Mapping[str, Corpus], kept: Path) -> None:
        self.chosen, self.corpora, self.kept = chosen, corpora, kept
        self.first = next(iter(corpora.values()))
        self.labels = self.first.protocol.labels

    @abstractmethod
    def fit(
        self, encoder: UtteranceEncoder, settings: FinetuneSettings, run: Path, progress: Progress
    ) -> Trained:
        """Fine-tune an encoder in place."""

    @abstractmethod
    def test_scores(self, encoder: UtteranceEncoder) -> dict[str, Any]:
        """Score an encoder on the test split: `weighted_f1` and others."""


class _Conversations(_Data):
    """Whole conversations; the first corpus chooses the epoch and scores."""

    @cached_property
    def train(self) -> list[Conversation]:
        """Those of all corpora."""
        every = self.corpora.values()
        return [conversation for corpus in every for conversation in corpus.conversations("train")]

    @cached_property
    def validation(self) -> list[Conversation]:
        """Those of the first corpus."""
        return list(self.first.conversations("validation"))

    def fit(
        self, encoder: UtteranceEncoder, settings: FinetuneSettings, run: Path, progress: Progress
    ) -> Trained:
        """Fine-tune on the labelled turns."""
        encoder.keep_in(self.kept)
        return finetune(encoder, self.train, self.validation, self.labels, settings, run, progress=progress)

    def test_scores(self, encoder: UtteranceEncoder) -> dict[str, Any]:
        """Score the first corpus."""
        return scores(encoder, list(self.first.conversations("test")), self.labels)


class _Clips(_Data):
    """Single clips that are drawn evenly; all corpora choose the epoch and score."""

    def __init__(self, chosen: EncoderRecipe, corpora: Mapping[str, Corpus], kept: Path) -> None:
        super().__init__(chosen, corpora, kept)
        from mister_e.training.stage1.acted_speech import check_single_process

        check_single_process()
        self.read: dict[str, Any] = {}

    def fit(
        self, encoder: UtteranceEncoder, settings: FinetuneSettings, run: Path, progress: Progress
    ) -> Trained:
        """Fine-tune on drawn clips and statistics."""
        from mister_e.training.stage1.acted_speech import finetune_acted_speech

        assert self.chosen.sampling is not None
        return finetune_acted_speech(
            encoder,
            self._examples("train", progress),
            self._examples("validation", progress),
            self.labels,
            settings,
            run,
            sampling=self.chosen.sampling,
            augmentation=self.chosen.augmentation or AugmentationConfig(),
            progress=progress,
        )

    def test_scores(self, encoder: UtteranceEncoder) -> dict[str, Any]:
        """Score every corpus; `weighted_f1` is their mean."""
        from mister_e.encoders.speech.frontend import SpeechFrontend
        from mister_e.encoders.speech.whisper import WhisperEncoder
        from mister_e.training.stage1.acted_speech import ClipPredictor, corpus_scores

        assert isinstance(encoder, WhisperEncoder)
        found = corpus_scores(ClipPredictor(encoder, SpeechFrontend(), self._examples("test", silent)))
        return {"weighted_f1": found.pop(SCORE), **found}

    def _examples(self, split: str, progress: Progress) -> Any:
        """Decode a split, once for all seeds."""
        from mister_e.training.stage1.acted_clips import read_examples

        if split not in self.read:
            self.read[split] = read_examples(self.corpora, split, self.labels, self.kept, progress=progress)
        return self.read[split]


def scores(
    encoder: UtteranceEncoder, conversations: Sequence[Conversation], labels: LabelSet
) -> dict[str, Any]:
    """Score an encoder's own classifier on the labelled turns that have its modality.

    :return: `turns`, `weighted_f1`, `accuracy`, `macro_f1` (over the classes that are there), `class_f1`
        (label to F1), all scores 0 to 100.
    """
    truth = positions_of(conversations, labels)
    predicted = classify(encoder, conversations)
    scored = (truth >= 0) & (predicted >= 0)
    if not scored.any():
        raise InputError(f"no turn of this split has a label and {encoder.modality}")
    confusion = confusion_matrix(truth[scored], predicted[scored], len(labels))
    overall = {name: float(value) for name, value in overall_scores(confusion).items()}
    each = class_scores(confusion)["f1"].tolist()
    return {"turns": int(scored.sum()), **overall, "class_f1": dict(zip(labels, each, strict=True))}


def _train(
    run: Path, chosen: EncoderRecipe, data: _Data, config: Mapping[str, Any], progress: Progress
) -> None:
    """Fine-tune with one seed and keep the encoder."""
    assert chosen.finetune is not None
    settings = chosen.finetune.model_copy(update={"seed": config["seed"]})
    seed_everything(settings.seed)
    encoder = new_encoder(chosen.kind, chosen.encoder.model_copy(update={"classes": len(data.labels)}))
    if chosen.start is not None:
        go_on_from(encoder, find_start(chosen.start, encoder.modality), chosen.start)
    trained = data.fit(encoder, settings, run, progress)
    if not is_main():
        return
    encoder.save(run / "encoder")
    result = {
        **config,
        "labels": data.labels.to_json(),
        "best_epoch": trained.best_epoch,
        "validation_weighted_f1": trained.validation_weighted_f1,
        "history": list(trained.history),
        "versions": installed_versions(),
    }
    write_text(run / "result.json", json.dumps(result, indent=2) + "\n")


def _modality(part: str) -> Modality:
    """Modality of a part of a recipe."""
    return "text" if part == "text" else "speech"


def _settings(chosen: EncoderRecipe, part: str) -> dict[str, Any]:
    """All of a part that decides a run but its seed and corpora, JSON-ready."""
    assert chosen.finetune is not None
    found = {
        "kind": chosen.kind,
        "encoder": chosen.encoder.model_dump(mode="json"),
        "start": None if chosen.start is None else find_start(chosen.start, _modality(part)).identity,
        "finetune": chosen.finetune.model_dump(mode="json", exclude={"seed"}),
    }
    if chosen.sampling is not None:
        found["sampling"] = chosen.sampling.model_dump(mode="json")
        found["augmentation"] = (chosen.augmentation or AugmentationConfig()).model_dump(mode="json")
    return found
