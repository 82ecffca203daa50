"""Confidence of turns without words and of crosstalk: `confidence.py --data DIR`, to `confidence.json`.

DIR holds the corpora of `joined.py`, and `emogator/`, bursts of voices without words. Two temperatures of a
model are fitted on validation voices and scored on test voices, before and after:

* `wordless`: clips in which the recogniser finds no words (bursts, and speech in a language that it does not
  know), each a recording of its own and judged by its sound. The corpora count the same.
* `crosstalk`: turns that carry the note, in joined recordings in which people interrupt each other; the right
  emotion is that with the most time in the turn.

`rule` is how well the note finds turns in which several voices are heard for at least 40 % of the time that
anybody is heard, on joined recordings and on meetings. `--write MODEL` puts the fitted temperatures into a
model folder, once they were scored.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cutting import Cut, cut, frames, meetings, once, percent
from joined import SPLITS, joined, unseen_clips
from mister_e.conversation import CROSSTALK, NO_WORDS, Clip, Conversation, Utterance
from mister_e.files import write_text
from mister_e.inference.calibration import Calibration, calibrated, fit_notes, temperatures
from mister_e.inference.export import recalibrate
from mister_e.inference.predictions import Predictions, softmax
from mister_e.labels import MELD_EMOTIONS
from mister_e.metrics.reliability import Reliability
from mister_e.pipeline import Pipeline
from mister_e.transcription.whisper import WhisperRecogniser

#: Corpora with clips in which no words of English are found.
WORDLESS = ("emogator", "nemo")
PARTS = ("wordless", "crosstalk")
#: A turn is crosstalk from this fraction of the time in which anybody is heard.
SHARED = 0.4
#: Clips that are recognised together.
BATCH = 16


def wordless(pipeline: Pipeline, data: Path, split: str) -> list[Predictions]:
    """Predictions for the clips of each corpus in which no words are found."""
    recogniser = WhisperRecogniser("en")
    return [_wordless_of(pipeline, recogniser, data / corpus, corpus, split) for corpus in WORDLESS]


def _wordless_of(
    pipeline: Pipeline, recogniser: WhisperRecogniser, folder: Path, corpus: str, split: str
) -> Predictions:
    """Predictions for the clips of one corpus in which no words are found, with their labels."""
    conversations: list[Conversation] = []
    labels: list[int] = []
    clips = unseen_clips(folder, corpus, split)
    for first in range(0, len(clips), BATCH):
        group = clips[first : first + BATCH]
        sounds = [Clip(str(folder / clip.file)).load() for clip, _ in group]
        for (clip, emotion), sound, words in zip(group, sounds, recogniser(sounds), strict=True):
            if words is None:
                turn = Utterance("1", audio=Clip(samples=sound), notes=(NO_WORDS,))
                conversations.append(Conversation(clip.file, (turn,)))
                labels.append(MELD_EMOTIONS.index(emotion))
    logging.info("%s, %s: %d of %d clips without words", corpus, split, len(labels), len(clips))
    found = pipeline.predictor.predict(conversations).predictions
    return replace(found, labels=np.array(labels))


def crosstalk(cuts: Iterable[Cut]) -> Predictions:
    """Predictions for the turns that carry the note, with the emotion that has the most time in each.

    Their logits are the logarithms of the scores: calibrated, but for what the note changes.
    """
    logits, labels = [], []
    for each in cuts:
        expressed = each.expressed()
        for turn in each.turns:
            times = expressed[:, frames(turn.start, turn.end)].sum(1)
            if CROSSTALK in turn.notes and times.any():
                logits.append([np.log(max(turn.scores[name], 1e-9)) for name in MELD_EMOTIONS])
                labels.append(int(times.argmax()))
    count = len(labels)
    return Predictions(
        ids=tuple(map(str, range(count))),
        conversations=np.zeros(count, np.int64),
        conversation_ids=("all",),
        labels=np.array(labels, np.int64),
        logits=np.array(logits, np.float32).reshape(count, len(MELD_EMOTIONS)),
        predicted=np.ones(count, bool),
    )


def ece(found: Sequence[Predictions]) -> float | None:
    """Calibration error of predictions whose logits are calibrated."""
    found = [one for one in found if len(one)]
    if not found:
        return None
    probabilities = np.concatenate([softmax(one.logits) for one in found])
    return round(Reliability.of(probabilities, np.concatenate([one.labels for one in found])).error, 3)


def rule(cuts: Iterable[Cut]) -> dict[str, Any]:
    """Precision and recall of the note."""
    truth, noted = [], []
    for each in cuts:
        count = each.heard().sum(0)
        for turn in each.turns:
            own = count[frames(turn.start, turn.end)]
            truth.append((own > 1).sum() >= SHARED * max(1, (own > 0).sum()))
            noted.append(CROSSTALK in turn.notes)
    hits = float(np.logical_and(truth, noted).sum())
    return {
        "turns": len(truth),
        "crosstalk": int(np.sum(truth)),
        "noted": int(np.sum(noted)),
        "precision": percent(hits, float(np.sum(noted))),
        "recall": percent(hits, float(np.sum(truth))),
    }


def main() -> None:
    """Read the command line, fit, score and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with emogator/, ravdess/, …, turns/")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--turns", default="voices", help="how recordings are cut: sentences or voices")
    parser.add_argument("--count", type=int, default=20, help="joined recordings of a part")
    parser.add_argument("--work", type=Path, help="keeps recordings and turns, to go on where it stopped")
    parser.add_argument("--write", type=Path, help="model folder that gets the temperatures")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pipeline = Pipeline.from_pretrained(arguments.model)
    given = pipeline.model.config.calibration
    # what the notes change is fitted from nothing, whatever a former fit left
    if arguments.work is not None:  # turns are judged with the weights and the factor that the model has
        identity = pipeline.model.config.fingerprint[:12]
        arguments.work = arguments.work / f"{identity} {given.crosstalk}"
    plain = given.model_copy(update={"wordless": None, "crosstalk": 1.0})
    former = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
    result = former.get(pipeline.model.config.name, {})
    fitted = given
    if "wordless" in arguments.parts:
        bursts = {part: wordless(pipeline, arguments.data, split) for part, split in SPLITS.items()}
        fitted = fit_notes(fitted, wordless=bursts["choosing"])
        result["wordless"] = _before_after(bursts["reporting"], plain, fitted)
    if "crosstalk" in arguments.parts:
        mixed = {part: list(_interrupted(pipeline, part, arguments.turns, arguments)) for part in SPLITS}
        # turns were judged with the factor that the model has
        noted = {part: calibrated(crosstalk(cuts), 1 / given.crosstalk) for part, cuts in mixed.items()}
        fitted = fit_notes(fitted, crosstalk=[noted["choosing"]])
        errors = [ece([noted["reporting"]]), ece([calibrated(noted["reporting"], fitted.crosstalk)])]
        result["crosstalk"] = {
            "turns": len(noted["reporting"]),
            "before": errors[0],
            "after": errors[1],
        }
        result["rule"] = {part: rule(cuts) for part, cuts in mixed.items()}
        result["rule"]["meetings"] = rule(
            once(arguments.work, arguments.turns, one, partial(cut, pipeline, one, arguments.turns))
            for one in meetings(arguments.data / "turns")
        )
    result["calibration"] = fitted.model_dump()
    logging.info("%s", json.dumps(result))
    models = former | {pipeline.model.config.name: result}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out, json.dumps(models, indent=1, ensure_ascii=False) + "\n")
    if arguments.write is not None:
        recalibrate(arguments.write, fitted)


def _interrupted(pipeline: Pipeline, part: str, turns: str, arguments: argparse.Namespace) -> Iterator[Cut]:
    """Recordings in which people interrupt each other, as they are cut."""
    work = arguments.work
    for recording in joined(arguments.data, part, arguments.count, work, crosstalk=True):
        yield once(work, turns, recording, partial(cut, pipeline, recording, turns))


def _before_after(found: Sequence[Predictions], plain: Calibration, fitted: Calibration) -> dict[str, Any]:
    """Calibration errors of turns without words, under both calibrations."""

    def error(calibration: Calibration) -> float | None:
        return ece(
            [calibrated(one, temperatures(calibration, one, [(NO_WORDS,)] * len(one))) for one in found]
        )

    return {"turns": sum(map(len, found)), "before": error(plain), "after": error(fitted)}


if __name__ == "__main__":
    main()
