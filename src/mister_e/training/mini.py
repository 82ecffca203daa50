"""Train a bundled model: `python -m mister_e.training.mini --recipe YAML --data DIR --work DIR --out DIR`.

Three steps: the text encoder on MELD's words, the speech encoder on acted clips, the mixture on both. The
first two are kept in the work folder, and go on where they were; the speech encoder is shared by recipes.
The test splits are touched once, at the end, for the scores in the card.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.corpora import table
from mister_e.corpora.releases.emorynlp import with_emorynlp
from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.encoders.speech.whisper import WhisperEncoderConfig
from mister_e.encoders.text.encoder import TextEncoder
from mister_e.errors import InputError
from mister_e.inference.calibration import Calibration, fit_temperature
from mister_e.inference.model_card import write_card
from mister_e.inference.model_folder import FolderConfig, ModelFolder
from mister_e.labels import MELD_EMOTIONS
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.training.class_weights import resolve_class_weights
from mister_e.training.mixture import WEIGHTS, Embedded, MixtureTuning, judge, score, train_mixture
from mister_e.training.recipe import Recipe, read_recipe
from mister_e.training.runtime import seed_everything
from mister_e.training.scores import TestCondition, test_scores
from mister_e.training.stage1.acted_speech import PLAIN, Judged, LabelledSound
from mister_e.training.stage1.run import run_stage1
from mister_e.training.stage1.voice import CORPORA, DRAWS, hear, statistics_alone, train_voice
from mister_e.training.stage2.pairing import (
    PairingConfig,
    Voices,
    acted_alone,
    acted_together,
    drop_modality,
    replace_speech,
    table_embedded,
    voices,
)
from mister_e.training.turns import read_table

SEED = 0
#: Corpora of words as a card names them.
WORDS = {"meld": "MELD", "emorynlp": "EmoryNLP"}
#: Columns of MELD's table that tell about its sound: `audio.prosody.STATISTICS`.
FEATURES = ("duration", "avg_*", "intensity_variation", "pitch_*", "articulation_rate", "mean_hnr")
#: Power of the inverse frequency of an emotion in MELD, the weight of any turn that has it: without it, what
#: is faint comes out neutral.
CLASS_WEIGHTS = 0.35
#: A situation that only pairs can show: it is synthetic, for the clips are chosen by the labels.
PAIRED = "text and acted clips, 6 in 10 of the turn's emotion"
MIXTURE = MixtureConfig(
    classes=len(MELD_EMOTIONS),
    text_dim=256,
    speech_dim=128,
    hidden=128,
    gru_layers=1,
    gru_hidden=64,
    fusion_dim=128,
    fusion_blocks=2,
    attention_dim=60,
    head_dropout=0.3,
)


def train_text(recipe: Recipe, data: Path, work: Path) -> Path:
    """Fine-tune the recipe's text encoder on its corpora, chosen on MELD's validation split.

    :return: the folder of the run.
    """
    source = data / "erc" / "meld.csv"
    if "emorynlp" in recipe.words:
        source = with_emorynlp(source, data / "erc" / "emorynlp", work / "words.csv")
    corpus = table.prepare(
        source,
        work / "meld",
        labels=tuple(MELD_EMOTIONS),
        features=FEATURES,
        name="MELD-7",
    )
    run_stage1(recipe, "text", corpus, work / "text", seeds=[SEED])
    return work / "text" / f"seed-{SEED}"


@dataclass(frozen=True)
class _Split:
    """A split as the mixture sees it.

    :param table: MELD's conversations.
    :param acted: clips of voices that are in no other split.
    :param clips: the same clips.
    """

    table: Sequence[Embedded]
    acted: Voices
    clips: Sequence[LabelledSound]


def train(recipe: Recipe, data: Path, work: Path, out: Path) -> None:
    """Train, choose on validation, score on test, and write the model folder.

    :param recipe: says how words and sound are encoded; its description becomes the model's.
    :param data: folder with `erc/` and the speech corpora.
    :param work: finished steps lie there.
    :param out: the model folder.
    """
    if recipe.speech is None or recipe.speech.finetune is None:
        raise InputError(f"recipe {recipe.name}: it has no speech.finetune, which a bundled model needs")
    if not isinstance(recipe.speech.encoder, WhisperEncoderConfig):
        raise InputError(f"recipe {recipe.name}: speech is of kind {recipe.speech.kind}, expected frames")
    text_run = train_text(recipe, data, work / out.name)
    text = TextEncoder.load(text_run / "encoder")
    heard = hear(data, work)
    meld = read_table(data / "erc" / "meld.csv")
    speech, speech_history = train_voice(
        recipe.speech.encoder.model_copy(update={"classes": len(MELD_EMOTIONS)}),
        recipe.speech.finetune,
        [*heard["train"], *statistics_alone(meld["train"])],
        [*heard["validation"], *statistics_alone(meld["val"])],
        work / "voice",
    )
    front_end = SpeechFrontend()
    splits = {
        split: _Split(
            table_embedded(meld[name], text, speech),
            voices(Judged(speech, front_end, heard[split])),
            heard[split],
        )
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    validation = situations(splits["validation"], text.dim)
    seed_everything(SEED)  # whatever the steps before drew, or did not
    mixture = MisterE(MIXTURE)
    pairing = PairingConfig()
    labels = np.concatenate([one.labels for one in meld["train"]])
    class_weights = resolve_class_weights(CLASS_WEIGHTS, np.bincount(labels, minlength=len(MELD_EMOTIONS)))
    mixture_history = train_mixture(
        mixture,
        lambda epoch: pairing.epoch(splits["train"].table, splits["train"].acted, SEED + epoch),
        lambda model: {name: score(model, turns) for name, turns in validation.items()},
        MixtureTuning(seed=SEED, weights=WEIGHTS.model_copy(update={"class_weights": class_weights})),
    )
    mixture.half().float()  # what is scored is what the folder holds
    calibration = Calibration(
        both=_temperature(mixture, [*validation["text and statistics"], *validation[PAIRED]]),
        speech=_temperature(mixture, [*validation["voice"], *_together(splits["validation"], text.dim)]),
        text=_temperature(mixture, validation["text"]),
    )
    words = [WORDS[name] for name in recipe.words]
    text_result = json.loads((text_run / "result.json").read_text(encoding="utf-8"))
    config = FolderConfig(
        name=out.name,
        description=recipe.description,
        languages=["en"],
        labels=MELD_EMOTIONS.to_json(),
        mixture=MIXTURE,
        speech_encoder=speech.config,
        calibration=calibration,
        training={
            "text": {
                "corpora": [WORDS[name] for name in recipe.words],
                "split": "official",
                "selection": "val",
                "seed": SEED,
            }
            | {"encoder": text_result["recipe"]["encoder"], "finetune": text_result["recipe"]["finetune"]},
            "speech": {"corpora": [*CORPORA, "MELD statistics"], "split": "70/15/15 by voice"}
            | {"finetune": recipe.speech.finetune.model_dump(mode="json"), "draws": asdict(DRAWS)},
            "mixture": {"selection": "mean of four validation situations", "class_weights": CLASS_WEIGHTS}
            | {"pairs": vars(pairing)},
            "validation": {
                "text": text_result["history"],
                "speech": speech_history,
                "mixture": mixture_history,
            },
        },
        scores=test_scores(mixture, tests(splits["test"], text.dim, calibration), MELD_EMOTIONS),
        terms=f"research, non-commercial: {' and '.join(words)} {'are' if words[1:] else 'is'} TV content;"
        " RAVDESS and nEMO are CC BY-NC-SA 4.0",
    )
    ModelFolder(config, text, speech, mixture).save(out)
    write_card(out)


def situations(split: _Split, text_dim: int) -> dict[str, list[Embedded]]:
    """Show a split in the four situations that the model has to master.

    :param split: what is shown.
    :param text_dim: width of the text embedding.
    """
    random = np.random.default_rng(SEED)
    everywhere = [torch.ones(len(one), dtype=torch.bool) for one in split.table]
    return {
        "text": [drop_modality(one, speech=all_) for one, all_ in zip(split.table, everywhere, strict=True)],
        "text and statistics": list(split.table),
        PAIRED: [replace_speech(one, split.acted, PairingConfig().agree, random) for one in split.table],
        "voice": acted_alone(split.acted, text_dim),
    }


def tests(split: _Split, text_dim: int, calibration: Calibration) -> dict[str, TestCondition]:
    """Show the test split in the same situations, and what a card tells besides.

    :param split: what is shown.
    :param text_dim: width of the text embedding.
    :param calibration: fitted on validation.
    """
    shown = situations(split, text_dim)
    of = {"text": calibration.text, "voice": calibration.speech}
    voice = np.array([one.voice for one in split.clips])
    found = {
        name: TestCondition(
            turns, of.get(name, calibration.both), voice.tolist() if name == "voice" else None
        )
        for name, turns in shown.items()
    }
    random = np.random.default_rng(SEED)
    for name, agree in (("pairs that agree", 1.0), ("pairs that disagree", 0.0)):
        pairs = [replace_speech(one, split.acted, agree, random, otherwise=True) for one in split.table]
        found[f"{name} (the words' label)"] = TestCondition(pairs, calibration.both)
    for title, places in _parts(split.clips).items():
        units, where = voice[places].tolist(), places.tolist()
        alone = acted_alone(split.acted, text_dim, where)
        # of read speech, which is all neutral, only a free choice tells anything
        acted = not title.startswith(PLAIN)
        found[f"voice: {title}"] = TestCondition(alone, calibration.speech, units, present=acted)
        if title in {str(group) for group in split.acted.groups}:
            together = acted_together(split.acted, text_dim, where)
            found[f"voice: {title}, as one recording"] = TestCondition(
                together, calibration.speech, units, present=acted
            )
    return found


def _together(split: _Split, text_dim: int) -> list[Embedded]:
    """The clips of each acted corpus as one recording."""
    shown: list[Embedded] = []
    for title, places in _parts(split.clips).items():
        if title in set(split.acted.groups.tolist()) - {PLAIN}:
            shown += acted_together(split.acted, text_dim, places.tolist())
    return shown


def _parts(clips: Sequence[LabelledSound]) -> dict[str, NDArray[np.int64]]:
    """Clips by corpus, and by the gender of the voice where the corpus tells."""
    parts: dict[str, list[int]] = {}
    for i, one in enumerate(clips):
        parts.setdefault(one.group, []).append(i)
        if one.gender:
            parts.setdefault(f"{one.group}, {one.gender}", []).append(i)
    return {title: np.array(parts[title]) for title in sorted(parts)}


def _temperature(mixture: MisterE, conversations: Sequence[Embedded]) -> float:
    judged = judge(mixture, conversations)
    return fit_temperature(judged.logits, judged.labels)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, required=True, help="such as recipes/mini.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/, ravdess/, nemo/, …")
    parser.add_argument("--work", type=Path, required=True, help="keeps finished steps")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(read_recipe(arguments.recipe), arguments.data, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
