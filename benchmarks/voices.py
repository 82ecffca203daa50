"""How well voices travel: `benchmarks/voices.py --work DIR`, written to `voices.json`.

DIR is the work folder of `scripts/train_bundled.py`, whose prepared corpora are used. `robust` scores the
bundled model on clips of unseen voices, changed as other rooms, lines and codecs would change them. `cross`
trains the speech encoder on one acted corpus alone, and scores it on all of another one, on the emotions that
both have. `unseen` trains it on all corpora of the bundled model but one acted corpus, and scores it on the
training and validation voices of that one: settings may be chosen by it. Finished trainings are kept in the
work folder and not done again.
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

from mister_e.conversation import Clip, Conversation
from mister_e.corpora.store import Corpus
from mister_e.encoders.base import UtteranceEncoder, embed_recordings
from mister_e.encoders.registry import load_encoder
from mister_e.files import write_text
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predictor import Predictor
from mister_e.labels import MELD_EMOTIONS
from mister_e.metrics.classification import weighted_f1
from mister_e.pretrained import model_folder
from mister_e.training.recipe import read_recipe
from mister_e.training.stage1.acted_clips import has_sound
from mister_e.training.stage1.augmentation import CONDITIONS
from mister_e.training.stage1.run import find_corpora, run_stage1

RECIPE = Path(__file__).parent.parent / "recipes" / "mini.yaml"
ACTED = ("ravdess", "nemo")
PARTS = ("robust", "cross", "unseen")
#: What most corpora of emotional speech have.
FOUR = frozenset(("neutral", "joy", "sadness", "anger"))


def robust(work: Path, model: str) -> dict[str, Any]:
    """Score a bundled model on unseen voices under every condition."""
    predictor = Predictor(ModelFolder.load(model_folder(model)))
    scores: dict[str, Any] = {}
    for name in ACTED:
        clips = list(Corpus.load(work / "corpora" / name).conversations("test"))
        truth = labels_of(clips)
        unchanged: list[int] = []
        for condition, change in CONDITIONS.items():
            random = np.random.default_rng(0)
            changed = [_with_sound(clip, change(clip.utterances[0].audio.load(), random)) for clip in clips]
            logits = predictor.predict(changed, mode="speech-only").predictions.logits
            predicted = among(torch.from_numpy(logits), truth)
            unchanged = unchanged or predicted
            scores.setdefault(condition, {})[name] = {
                "weighted_f1": round(weighted_f1(truth, predicted), 1),
                "kept": round(100 * float(np.mean(np.array(unchanged) == np.array(predicted))), 1),
            }
            logging.info("%s, %s: %s", name, condition, scores[condition][name])
    drops = [
        scores["as recorded"][name]["weighted_f1"] - row["weighted_f1"]
        for condition, rows in scores.items()
        for name, row in rows.items()
        if condition != "as recorded"
    ]
    return {"conditions": scores, "mean_drop": round(float(np.mean(drops)), 2)}


def cross(work: Path) -> dict[str, Any]:
    """Train on one acted corpus, and score on all of the other."""
    scores = {}
    for trained, other in (ACTED, ACTED[::-1]):
        encoder, known = train(work, (trained,), work / "cross" / trained)
        clips = list(Corpus.load(work / "corpora" / other).conversations())
        scores[f"{trained} to {other}"] = score(encoder, clips, known)
        logging.info("%s to %s: %s", trained, other, scores[f"{trained} to {other}"])
    return scores


def unseen(work: Path) -> dict[str, Any]:
    """Leave an acted corpus out of the training, and score on it."""
    every = read_recipe(RECIPE).part("speech").corpora or ()
    scores = {}
    for left in ACTED:
        encoder, known = train(work, [name for name in every if name != left], work / "unseen" / left)
        corpus = Corpus.load(work / "corpora" / left)
        clips = [clip for split in ("train", "validation") for clip in corpus.conversations(split)]
        scores[left] = {"all": score(encoder, clips, known), "four": score(encoder, clips, FOUR)}
        logging.info("without %s: %s", left, scores[left])
    return scores


def train(work: Path, names: Sequence[str], out: Path) -> tuple[UtteranceEncoder, frozenset[str]]:
    """Train the bundled model's speech encoder on some of its corpora, with fewer epochs.

    :param work: holds `corpora/`.
    :param names: of the corpora.
    :param out: folder of the run.
    :return: the encoder, and the labels of the clips that it was trained on.
    """
    sampling = read_recipe(RECIPE).part("speech").sampling
    assert sampling is not None
    fractions = {name: fraction for name, fraction in sampling.corpora.items() if name in names}
    changes = (
        "speech.finetune.epochs=4",
        f"speech.corpora={json.dumps(list(names))}",
        f"speech.sampling.corpora={json.dumps(fractions)}",
    )
    recipe = read_recipe(RECIPE, changes)
    corpora = find_corpora(recipe.part("speech"), [work / "corpora"])
    run_stage1(recipe, "speech", corpora, out, seeds=[0])
    known = {
        turn.label
        for corpus in corpora.values()
        if has_sound(corpus)
        for conversation in corpus.conversations("train")
        for turn in conversation
    }
    return load_encoder(out / "seed-0"), frozenset(label for label in known if label is not None)


@torch.inference_mode()
def score(encoder: UtteranceEncoder, clips: Sequence[Conversation], known: frozenset[str]) -> dict[str, Any]:
    """Score an encoder's own classifier on clips of known labels, among the labels that are there.

    :param encoder: with a classifier of `MELD_EMOTIONS`.
    :param clips: conversations of one turn each.
    :param known: labels; other clips are left out.
    :return: clips, emotions, and weighted F1 of each clip alone and of all as one recording.
    """
    chosen = [clip for clip in clips if clip.utterances[0].label in known]
    truth = labels_of(chosen)
    features, present = encoder.encode_turns(chosen)
    emotions = [MELD_EMOTIONS.names[number] for number in sorted(set(truth))]
    row: dict[str, Any] = {"clips": len(chosen), "emotions": emotions}
    for name, lengths in (("alone", [1] * len(chosen)), ("together", [len(chosen)])):
        logits = encoder.logits(embed_recordings(encoder, features, present, lengths))
        row[name] = round(weighted_f1(truth, among(logits, truth)), 1)
    return row


def labels_of(clips: Sequence[Conversation]) -> list[int]:
    """Positions of the labels of clips among `MELD_EMOTIONS`."""
    return [MELD_EMOTIONS.index(clip.utterances[0].label or "") for clip in clips]


def among(logits: torch.Tensor, truth: Sequence[int]) -> list[int]:
    """The likeliest label of each clip among those that some clip has."""
    present = sorted(set(truth))
    return [present[number] for number in logits[:, present].argmax(-1).tolist()]


def _with_sound(clip: Conversation, sound: np.ndarray) -> Conversation:
    """The same clip with other samples."""
    turn = replace(clip.utterances[0], audio=Clip(samples=sound))
    return replace(clip, utterances=(turn,))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="of scripts/train_bundled.py; keeps runs")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parts = {
        "robust": lambda: robust(arguments.work, arguments.model),
        "cross": lambda: cross(arguments.work),
        "unseen": lambda: unseen(arguments.work),
    }
    for part in arguments.parts:
        result = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
        result[part] = parts[part]()
        write_text(arguments.out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
