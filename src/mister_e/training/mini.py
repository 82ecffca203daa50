"""Train a bundled model: `python -m mister_e.training.mini --recipe YAML --data DIR --work DIR --out DIR`.

Four steps: the text encoder on MELD's words and what the front end hears in the acted clips, which are
kept in the work folder and not done again, the speech encoder, the mixture. The test splits are touched
once, at the end, for the scores in the card.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mister_e.config import MixtureConfig
from mister_e.corpora import table
from mister_e.encoders.front_end import Heard, SpeechFrontEnd, centred, load_whisper
from mister_e.encoders.speech import SpeechEncoder, SpeechEncoderConfig
from mister_e.encoders.text import TextEncoder
from mister_e.labels import MELD_EMOTIONS
from mister_e.model import MisterE
from mister_e.pretrained.folder import Calibration, FolderConfig, ModelFolder
from mister_e.training.card import write_card
from mister_e.training.hear import hear_clips
from mister_e.training.mix import Pairing, Voices, acted_alone, table_embedded, voices, with_voices, without
from mister_e.training.mixture import Embedded, MixtureTuning, fit_temperature, judge, score, train_mixture
from mister_e.training.recipe import Recipe, read_recipe
from mister_e.training.scores import test_scores
from mister_e.training.seeds import seed_everything
from mister_e.training.speech import LabelledSpeech, SpeechTuning, train_speech
from mister_e.training.stage1 import run_stage1
from mister_e.training.turns import TableConversation, by_voice, read_clips, read_table

log = logging.getLogger(__name__)

SEED = 0
#: Columns of MELD's table that tell about its sound: `audio.prosody.STATISTICS`.
FEATURES = ("duration", "avg_*", "intensity_variation", "pitch_*", "articulation_rate", "mean_hnr")
SPEECH_CORPORA = ("ravdess", "nemo", "emogator", "librispeech")
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
    """Fine-tune the recipe's text encoder on MELD's training turns, chosen on its validation split.

    :return: the folder of the run.
    """
    corpus = table.prepare(
        data / "erc" / "meld.csv",
        work / "meld",
        labels=tuple(MELD_EMOTIONS),
        features=FEATURES,
        name="MELD-7",
    )
    run_stage1(recipe, "text", corpus, work / "text", seeds=[SEED])
    return work / "text" / f"seed-{SEED}"


def hear(data: Path, work: Path) -> dict[str, LabelledSpeech]:
    """Hear every acted clip, and split them by whole voices.

    :return: split to labelled speech.
    """
    front_end = SpeechFrontEnd(load_whisper())
    splits: dict[str, list[LabelledSpeech]] = {"train": [], "validation": [], "test": []}
    for corpus in SPEECH_CORPORA:
        for split, clips in by_voice(read_clips(data / corpus)).items():
            heard = hear_clips(clips, front_end, work / "heard" / corpus / split)
            labels = [clip.label for clip in clips]
            splits[split].append(LabelledSpeech(heard, labels, [corpus] * len(clips)))
    return {split: _joined(parts) for split, parts in splits.items()}


def train(recipe: Recipe, data: Path, work: Path, out: Path) -> None:
    """Train, choose on validation, score on test, and write the model folder.

    :param recipe: says how the words are encoded; its description becomes the model's.
    :param data: folder with `erc/` and the speech corpora.
    :param work: finished steps lie there.
    :param out: the model folder.
    """
    text_run = train_text(recipe, data, work / out.name)
    text = TextEncoder.load(text_run / "encoder")
    heard = hear(data, work)
    meld = read_table(data / "erc" / "meld.csv")

    seed_everything(SEED)
    speech = SpeechEncoder(SpeechEncoderConfig())
    statistics_alone = [_statistics_of(meld[split]) for split in ("train", "val")]
    speech_history = train_speech(
        speech,
        _joined([heard["train"], statistics_alone[0]]),
        _joined([heard["validation"], statistics_alone[1]]),
        SpeechTuning(seed=SEED),
    )
    speech.half().float()  # what is scored is what the folder holds

    conversations = {split: table_embedded(rows, text, speech) for split, rows in meld.items()}
    acted = {split: voices(turns, speech) for split, turns in heard.items()}
    validation = situations(conversations["val"], acted["validation"], text.dim)
    mixture = MisterE(MIXTURE)
    pairing = Pairing()
    mixture_history = train_mixture(
        mixture,
        lambda epoch: pairing.epoch(conversations["train"], acted["train"], SEED + epoch),
        lambda model: {name: score(model, turns) for name, turns in validation.items()},
        MixtureTuning(seed=SEED),
    )
    mixture.half().float()
    calibration = Calibration(
        both=fit_temperature(*_logits(mixture, [*validation["text and statistics"], *validation[PAIRED]])),
        speech=fit_temperature(*_logits(mixture, validation["voice"])),
        text=fit_temperature(*_logits(mixture, validation["text"])),
    )
    temperatures = {
        "text": calibration.text,
        "text and statistics": calibration.both,
        PAIRED: calibration.both,
        "voice": calibration.speech,
    }
    tests = {
        name: (turns, temperatures[name])
        for name, turns in situations(conversations["test"], acted["test"], text.dim).items()
    }
    tests |= {
        f"voice: {corpus}": (acted_alone(acted["test"], text.dim, places), calibration.speech)
        for corpus, places in _places(acted["test"].groups).items()
    }
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
            "text": {"corpus": "MELD", "split": "official", "selection": "val", "seed": SEED}
            | {"encoder": text_result["recipe"]["encoder"], "finetune": text_result["recipe"]["finetune"]},
            "speech": {"corpora": [*SPEECH_CORPORA, "MELD statistics"], "split": "70/15/15 by voice"},
            "mixture": {"selection": "mean of four validation situations", "pairs": vars(pairing)},
            "validation": {
                "text": text_result["history"],
                "speech": speech_history,
                "mixture": mixture_history,
            },
        },
        scores=test_scores(mixture, tests, MELD_EMOTIONS),
        terms="research, non-commercial: MELD is TV content; RAVDESS and nEMO are CC BY-NC-SA 4.0",
    )
    ModelFolder(config, text, speech, mixture).save(out)
    write_card(out)


def situations(conversations: list[Embedded], acted: Voices, text_dim: int) -> dict[str, list[Embedded]]:
    """Show a split in the four situations that the model has to master.

    :param conversations: of MELD.
    :param acted: clips of voices of the same split.
    :param text_dim: width of the text embedding.
    """
    random = np.random.default_rng(SEED)
    return {
        "text": [without(one, speech=torch.ones(len(one), dtype=torch.bool)) for one in conversations],
        "text and statistics": conversations,
        PAIRED: [with_voices(one, acted, Pairing().agree, random) for one in conversations],
        "voice": acted_alone(acted, text_dim),
    }


def _logits(mixture: MisterE, conversations: list[Embedded]) -> tuple[torch.Tensor, torch.Tensor]:
    logits, _, labels = judge(mixture, conversations)
    return logits, labels


def _places(groups: Sequence[str]) -> dict[str, list[int]]:
    return {name: [i for i, group in enumerate(groups) if group == name] for name in sorted(set(groups))}


def _statistics_of(conversations: list[TableConversation]) -> LabelledSpeech:
    """Turns of a table as statistics without frames; those whose clip is missing are left out."""
    heard, labels = [], []
    for one in conversations:
        for row, label, present in zip(centred(one.statistics), one.labels, one.heard, strict=True):
            if present:
                heard.append(Heard(None, row))
                labels.append(label)
    return LabelledSpeech(heard, labels, ["meld"] * len(heard))


def _joined(parts: Sequence[LabelledSpeech]) -> LabelledSpeech:
    return LabelledSpeech(
        [turn for part in parts for turn in part.heard],
        [label for part in parts for label in part.labels],
        [group for part in parts for group in part.groups],
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, required=True, help="such as recipes/meld/mini.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/, ravdess/, nemo/, …")
    parser.add_argument("--work", type=Path, required=True, help="keeps finished steps")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(read_recipe(arguments.recipe), arguments.data, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
