"""How well voices travel: `benchmarks/voices.py --data DIR --work DIR`, written to `voices.json`.

`robust` shows clips of voices that the bundled model never met as other rooms, lines and codecs would bring
them. `cross` trains the speech encoder on one acted corpus alone, and scores it on another one whole, on the
emotions that both have. `unseen` trains it on all that the bundled model hears but one acted corpus, and
scores it on the training and validation voices of that one: settings may be chosen by it. Finished trainings
in the work folder are not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mister_e.encoders.speech.frontend import SpeechFrontend, trim_silence
from mister_e.encoders.speech.whisper import WhisperEncoderConfig
from mister_e.files import write_text
from mister_e.inference.model_folder import ModelFolder
from mister_e.labels import MELD_EMOTIONS
from mister_e.metrics.classification import weighted_f1
from mister_e.pretrained import model_folder
from mister_e.training.mixture import judge
from mister_e.training.recipe import read_recipe
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.acted_speech import Judged, LabelledSound
from mister_e.training.stage1.augmentation import CONDITIONS
from mister_e.training.stage1.voice import CORPORA, hear, statistics_alone, train_voice
from mister_e.training.stage2.pairing import acted_alone, voices
from mister_e.training.turns import read_table

ROOT = Path(__file__).parent.parent
ACTED = ("ravdess", "nemo")
PARTS = ("robust", "cross", "unseen")
#: What most corpora of emotional speech have.
FOUR = ("neutral", "joy", "sadness", "anger")


def robust(heard: dict[str, list[LabelledSound]], model: str) -> dict[str, Any]:
    """Score the bundled model on unseen voices under every condition."""
    loaded = ModelFolder.load(model_folder(model))
    front_end = SpeechFrontend()
    found: dict[str, Any] = {}
    for corpus in ACTED:
        clips = [one for one in heard["test"] if one.group == corpus]
        truth = [one.label for one in clips]
        plain: list[int] = []
        for name, condition in CONDITIONS.items():
            random = np.random.default_rng(0)
            changed = [_changed(one, condition(one.sound, random)) for one in clips]
            acted = voices(Judged(loaded.speech_encoder, front_end, changed))
            logits = judge(loaded.mixture, acted_alone(acted, loaded.text_encoder.dim)).logits.clone()
            logits[:, [i for i in range(logits.shape[1]) if i not in set(truth)]] = -1e9
            chosen = logits.argmax(-1).tolist()
            plain = plain or chosen
            found.setdefault(name, {})[corpus] = {
                "weighted_f1": round(weighted_f1(truth, chosen), 1),
                "kept": round(100 * float(np.mean(np.array(plain) == np.array(chosen))), 1),
            }
            logging.info("%s, %s: %s", corpus, name, found[name][corpus])
    drops = [
        found["as recorded"][corpus]["weighted_f1"] - one[corpus]["weighted_f1"]
        for name, one in found.items()
        for corpus in ACTED
        if name != "as recorded"
    ]
    return {"conditions": found, "mean_drop": round(float(np.mean(drops)), 2)}


def _changed(one: LabelledSound, sound: np.ndarray) -> LabelledSound:
    """Measure a changed clip anew, as use would."""
    from mister_e.audio.prosody import prosody

    cut = trim_silence(sound)
    samples = (np.clip(cut, -1, 1) * 32767).astype(np.int16)
    return replace(one, samples=samples, statistics=prosody(cut).to_array())


def unseen(heard: dict[str, list[LabelledSound]], data: Path, work: Path) -> dict[str, Any]:
    """Leave an acted corpus out of the training, and score on it."""
    chosen = _recipe()
    meld = read_table(data / "erc" / "meld.csv")
    found = {}
    for left in ACTED:
        train, validation = (
            [
                *(clip for clip in heard[split] if clip.group != left),
                *statistics_alone(meld["train" if split == "train" else "val"]),
            ]
            for split in ("train", "validation")
        )
        encoder, _ = train_voice(*chosen, train, validation, work / "unseen" / left)
        clips = [clip for split in ("train", "validation") for clip in heard[split] if clip.group == left]
        known = {clip.label for clip in train if clip.samples is not None}
        found[left] = {
            "all": _common(encoder, clips, known),
            "four": _common(encoder, clips, {MELD_EMOTIONS.index(one) for one in FOUR}),
        }
        logging.info("without %s: %s", left, found[left])
    return found


def _recipe() -> tuple[WhisperEncoderConfig, FinetuneSettings]:
    """The bundled model's recipe, with fewer epochs."""
    chosen = read_recipe(ROOT / "recipes" / "mini.yaml", ["speech.finetune.epochs=4"]).speech
    assert chosen is not None
    assert chosen.finetune is not None
    assert isinstance(chosen.encoder, WhisperEncoderConfig)
    return chosen.encoder.model_copy(update={"classes": len(MELD_EMOTIONS)}), chosen.finetune


def cross(heard: dict[str, list[LabelledSound]], work: Path) -> dict[str, Any]:
    """Train on one acted corpus, and score on all of the other."""
    chosen = _recipe()
    found = {}
    for one, other in (ACTED, ACTED[::-1]):
        train, validation = (
            [clip for clip in heard[split] if clip.group == one] for split in ("train", "validation")
        )
        encoder, _ = train_voice(*chosen, train, validation, work / "cross" / one)
        clips = [clip for split in heard.values() for clip in split if clip.group == other]
        found[f"{one} to {other}"] = _common(encoder, clips, {clip.label for clip in train})
        logging.info("%s to %s: %s", one, other, found[f"{one} to {other}"])
    return found


@torch.inference_mode()
def _common(encoder: Any, clips: Sequence[LabelledSound], known: set[int]) -> dict[str, Any]:
    clips = [clip for clip in clips if clip.label in known]
    common = sorted({clip.label for clip in clips})
    judged = Judged(encoder, SpeechFrontend(), clips)
    pooled = encoder.pool_heard(judged.heard)
    statistics = np.stack([turn.statistics for turn in judged.heard])
    rows: dict[str, Any] = {"clips": len(clips), "emotions": [MELD_EMOTIONS.names[i] for i in common]}
    for name, parts in (("alone", np.arange(len(clips))[:, None]), ("together", [np.arange(len(clips))])):
        logits = torch.zeros(len(clips), len(MELD_EMOTIONS))
        for part in parts:
            logits[part] = encoder.logits(encoder.embed_recording(pooled[part], statistics[part]))
        choice = [common[i] for i in logits[:, common].argmax(-1).tolist()]
        rows[name] = round(weighted_f1(judged.labels.tolist(), choice), 1)
    return rows


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with erc/, ravdess/, nemo/, …")
    parser.add_argument("--work", type=Path, required=True, help="that of `make mini`; keeps what was heard")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    heard = hear(arguments.data, arguments.work, CORPORA if "unseen" in arguments.parts else ACTED)
    made = {
        "robust": lambda: robust(heard, arguments.model),
        "cross": lambda: cross(heard, arguments.work),
        "unseen": lambda: unseen(heard, arguments.data, arguments.work),
    }
    for part in arguments.parts:
        result = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
        result[part] = made[part]()
        write_text(arguments.out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
