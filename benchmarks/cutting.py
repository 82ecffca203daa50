"""How recordings are cut into turns, and what it does to emotions: `cutting.py --data DIR`.

It writes `cutting.json`. DIR holds the corpora that `joined.py` joins to recordings of known voices and
emotions, and `turns/`, excerpts of meetings with `turns.rttm`. The ways of cutting are those of `mister-e
analyze --turns`, and `true`: the bounds of the clips themselves, with the words recognised within them. One
process with one model cuts a recording in all ways before the next one. Times are looked at every 10 ms.

`emotions`, of joined recordings, is what `analyze` says; `by voice` is what the same turns are judged as by
their sound alone, for acted sentences tell nothing of an emotion, and the text expert takes them for neutral:

* `right`: % of the labelled time that lies in turns with the right emotion; time outside turns counts as
  wrong, and where two clips overlap either label is right. `right_macro`: its mean over the emotions.
  `right_overlapped`: the same where clips overlap; `right_alone`: where one voice is heard;
  `right_in_turns`: of the time that lies in turns, which is `in_turns` % of the labelled time: ends of clips
  and faint clips in noise are not heard as speech, and all ways of cutting miss them alike.
* `ece`: calibration error, 0 to 1, each turn weighted by its labelled time.

Cutting:

* `two_voices`: % of the time of turns that lies in turns in which at least two voices have 0.5 s alone each.
* `changes_found`: % of the changes of voice with a cut. A change lies between two stretches of at least 0.1 s
  in which one voice is alone, with no other such stretch between them, and the voices differ. A cut is a
  bound of a turn, but the first and the last, from 0.25 s before the end of the one stretch to 0.25 s after
  the beginning of the other.
* `overlapped`: % of the time of turns in which several voices are heard.
* `median_turn` s, `short_turns` (% of turns under 0.8 s), `turns_a_minute`, and `cpu`: user and system
  seconds of `Pipeline.analyze` per second of sound, without decoding.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joined import Joined, Piece, joined
from mister_e.analysis.turns import TurnAnalysis
from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.files import write_text
from mister_e.inputs import Sound
from mister_e.labels import MELD_EMOTIONS
from mister_e.metrics.reliability import BINS
from mister_e.pipeline import Pipeline
from mister_e.transcription.asr import Recognised
from mister_e.transcription.transcripts import read_transcript
from mister_e.transcription.whisper import WhisperRecogniser

SAMPLE = Path(__file__).parent.parent / "samples" / "conversation.flac"
WAYS = ("pauses", "sentences", "voices", "true")
PARTS = ("choosing", "reporting", "meetings", "sample")
#: Frames a second.
RATE = 100
#: Seconds: a voice alone in a turn, around a change, alone between changes, of a short turn.
ALONE, AROUND, STRETCH, SHORT = 0.5, 0.25, 0.1, 0.8


@dataclass(frozen=True)
class Turn:
    """What is scored of a turn; the fields are those of `TurnAnalysis`."""

    start: float
    end: float
    emotion: str
    confidence: float
    scores: Mapping[str, float]
    text: str | None
    asr_confidence: float | None
    text_uncertain: bool
    notes: Sequence[str]

    @classmethod
    def of(cls, turn: TurnAnalysis) -> Turn:
        """Take what is scored."""
        return cls(**{member.name: getattr(turn, member.name) for member in fields(cls)})


@dataclass(frozen=True)
class Cut:
    """A recording as one way cuts it.

    :param recording: with what is known of it.
    :param turns: that were found.
    :param cpu: seconds that it took; None = not measured.
    """

    recording: Joined
    turns: Sequence[Turn]
    cpu: float | None = None

    @property
    def frames(self) -> int:
        """Number of frames F of the recording."""
        return int(self.recording.seconds * RATE) + 1

    def heard(self) -> NDArray[np.bool_]:
        """Where each voice is heard, `[V, F]`."""
        voices = 1 + max(piece.voice for piece in self.recording.pieces)
        result = np.zeros((voices, self.frames), bool)
        for piece in self.recording.pieces:
            result[piece.voice, frames(piece.start, piece.end)] = True
        return result

    def expressed(self) -> NDArray[np.bool_]:
        """Where each emotion is expressed, `[C, F]`."""
        result = np.zeros((len(MELD_EMOTIONS), self.frames), bool)
        for piece in self.recording.pieces:
            if piece.emotion is not None:
                result[MELD_EMOTIONS.index(piece.emotion), frames(piece.start, piece.end)] = True
        return result


def frames(start: float, end: float) -> slice:
    """Frames between two seconds."""
    return slice(round(start * RATE), round(end * RATE))


def cut(pipeline: Pipeline, recording: Joined, way: str) -> Cut:
    """Cut and analyse a recording in one way."""
    if way == "true":
        result = pipeline.analyze(_true_turns(recording))
        return Cut(recording, [Turn.of(turn) for turn in result])
    began = time.process_time()
    result = pipeline.analyze(Sound(recording.sound, SAMPLE_RATE), turns=way)
    cpu = time.process_time() - began
    return Cut(recording, [Turn.of(turn) for turn in result], cpu)


def once(work: Path | None, way: str, recording: Joined, make: Callable[[], Cut]) -> Cut:
    """Cut a recording unless that was done before.

    :param work: keeps what was cut; None = keep nothing.
    """
    if work is None:
        return make()
    path = work / way / f"{recording.name}.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Cut(recording, [Turn(**turn) for turn in kept["turns"]], kept["cpu"])
    found = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"cpu": found.cpu, "turns": [asdict(turn) for turn in found.turns]}))
    return found


def by_voice(pipeline: Pipeline, found: Cut) -> Cut:
    """Judge the turns of a recording by their sound alone: acted words tell nothing of an emotion."""
    sound = found.recording.sound
    turns = tuple(
        Utterance(
            f"t{number:04}",
            start=turn.start,
            end=turn.end,
            audio=Clip(samples=sound[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]),
        )
        for number, turn in enumerate(found.turns, start=1)
    )
    result = pipeline.analyze(Conversation(found.recording.name, turns))
    return Cut(found.recording, [Turn.of(turn) for turn in result])


_RECOGNISERS: list[WhisperRecogniser] = []


def _true_turns(recording: Joined) -> Conversation:
    """The clips of a recording as turns, with recognised words."""
    if not _RECOGNISERS:
        _RECOGNISERS.append(WhisperRecogniser("en"))
    sounds = [
        recording.sound[round(piece.start * SAMPLE_RATE) : round(piece.end * SAMPLE_RATE)]
        for piece in recording.pieces
    ]
    words = _RECOGNISERS[0](sounds)
    return Conversation(
        recording.name,
        tuple(
            _turn(number, piece, sound, found)
            for number, (piece, sound, found) in enumerate(
                zip(recording.pieces, sounds, words, strict=True), start=1
            )
        ),
    )


def _turn(number: int, piece: Piece, sound: NDArray[np.float32], words: Recognised | None) -> Utterance:
    """A clip as a turn."""
    return Utterance(
        f"t{number:04}",
        words.text if words else None,
        piece.start,
        piece.end,
        audio=Clip(samples=sound),
        asr_confidence=words.confidence if words else None,
        text_uncertain=words.uncertain if words else False,
    )


def cutting_scores(cuts: Sequence[Cut]) -> dict[str, float | None]:
    """Scores of where recordings are cut; see above."""
    turn_time = mixed = overlapped = changes = found = 0.0
    for each in cuts:
        heard = each.heard()
        alone = heard & (heard.sum(0) == 1)
        for turn in each.turns:
            own = frames(turn.start, turn.end)
            length = own.stop - own.start
            turn_time += length
            mixed += length * ((alone[:, own].sum(1) >= ALONE * RATE).sum() > 1)
            overlapped += (heard[:, own].sum(0) > 1).sum()
        places = cut_places(each.turns)
        for first, last in voice_changes(alone):
            changes += 1
            found += any(first - AROUND <= place <= last + AROUND for place in places)
    lengths = [turn.end - turn.start for each in cuts for turn in each.turns]
    seconds = sum(each.recording.seconds for each in cuts)
    times = [each.cpu for each in cuts if each.cpu is not None]
    return {
        "two_voices": percent(mixed, turn_time),
        "changes_found": percent(found, changes),
        "overlapped": percent(overlapped, turn_time),
        "median_turn": round(float(np.median(lengths)), 2),
        "short_turns": percent(sum(length < SHORT for length in lengths), len(lengths)),
        "turns_a_minute": round(60 * len(lengths) / seconds, 1),
        "cpu": round(sum(times) / seconds, 4) if times else None,
    }


def cut_places(turns: Sequence[Turn]) -> list[float]:
    """Seconds at which turns end or begin, without the first and the last."""
    return sorted(place for turn in turns for place in (turn.start, turn.end))[1:-1]


def voice_changes(alone: NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    """Changes of voice: where one ends to be alone, and where the next begins, in seconds.

    :param alone: `[V, F]`, where a voice is heard and no other.
    """
    stretches: list[tuple[int, int, int]] = []
    for voice, row in enumerate(alone):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(np.int8), 1)))
        stretches += [(begin, end, voice) for begin, end in edges.reshape(-1, 2).tolist()]
    long = sorted(each for each in stretches if each[1] - each[0] >= STRETCH * RATE)
    for (_, end, voice), (begin, _, other) in pairwise(long):
        if voice != other:
            yield end / RATE, begin / RATE


def emotion_scores(cuts: Sequence[Cut]) -> dict[str, float | None]:
    """Scores of the emotions of turns by time; see above."""
    labelled = np.zeros(len(MELD_EMOTIONS))
    right = np.zeros(len(MELD_EMOTIONS))
    totals = dict.fromkeys(("all", "alone", "overlapped", "in turns"), np.zeros(2))
    bins = np.zeros((BINS, 3))
    for each in cuts:
        expressed, several = each.expressed(), each.heard().sum(0) > 1
        there = expressed.any(0)
        good = np.zeros(each.frames, bool)
        covered = np.zeros(each.frames, bool)
        for turn in each.turns:
            own = frames(turn.start, turn.end)
            match = expressed[MELD_EMOTIONS.index(turn.emotion), own]
            good[own] |= match
            covered[own] = True
            row = min(int(turn.confidence * BINS), BINS - 1)
            time_there = there[own].sum()
            bins[row] += (time_there, time_there * turn.confidence, match.sum())
        labelled += expressed.sum(1)
        right += (expressed & good).sum(1)
        places = {
            "all": there,
            "alone": there & ~several,
            "overlapped": several,
            "in turns": there & covered,
        }
        for name, where in places.items():
            totals[name] = totals[name] + (good[where].sum(), where.sum())
    error = float(np.abs(bins[:, 2] - bins[:, 1]).sum() / bins[:, 0].sum())
    known = labelled > 0
    return {
        "right": percent(*totals["all"]),
        "right_macro": round(float(100 * np.mean(right[known] / labelled[known])), 1),
        "right_alone": percent(*totals["alone"]),
        "right_overlapped": percent(*totals["overlapped"]),
        "right_in_turns": percent(*totals["in turns"]),
        "in_turns": percent(totals["in turns"][1], totals["all"][1]),
        "ece": round(error, 3),
        **{
            f"right_{name}": percent(part, whole)
            for name, part, whole in zip(MELD_EMOTIONS, right, labelled, strict=True)
        },
    }


def percent(part: float, whole: float) -> float | None:
    """Share in %; None of nothing."""
    return round(100 * float(part) / float(whole), 1) if whole else None


def meetings(folder: Path) -> Iterator[Joined]:
    """Recordings of a folder, and who speaks when by its `turns.rttm`."""
    speakers: dict[str, list[tuple[float, float, str]]] = {}
    for line in (folder / "turns.rttm").read_text(encoding="utf-8").splitlines():
        _, name, _, start, seconds, _, _, speaker, *_ = line.split()
        speakers.setdefault(name, []).append((float(start), float(start) + float(seconds), speaker))
    for name, rows in sorted(speakers.items()):
        voices = sorted({speaker for _, _, speaker in rows})
        pieces = (Piece(start, end, None, voices.index(speaker)) for start, end, speaker in sorted(rows))
        yield Joined(name, Clip(str(folder / f"{name}.ogg")).load(), tuple(pieces))


def sample() -> Iterator[Joined]:
    """The sample conversation, in which two voices take turns."""
    cues = read_transcript(SAMPLE.with_suffix(".srt"))
    pieces = (Piece(*bounds_of(cue), None, number % 2) for number, cue in enumerate(cues))
    yield Joined("sample", Clip(str(SAMPLE)).load(), tuple(pieces))


def bounds_of(cue: Utterance) -> tuple[float, float]:
    """First and last second of a cue."""
    assert cue.start is not None
    assert cue.end is not None
    return cue.start, cue.end


def measure(
    pipeline: Pipeline, recordings: Iterable[Joined], ways: Sequence[str], work: Path | None
) -> dict[str, Any]:
    """Cut recordings in each way, and score."""
    cuts: dict[str, list[Cut]] = {way: [] for way in ways}
    heard: dict[str, list[Cut]] = {way: [] for way in ways}
    for recording in recordings:
        for way in ways:
            found = once(work, way, recording, partial(cut, pipeline, recording, way))
            cuts[way].append(found)
            if _labelled([found]):
                judged = once(work, f"{way} by voice", recording, partial(by_voice, pipeline, found))
                heard[way].append(judged)
        logging.info("%s: %s", recording.name, {way: len(own[-1].turns) for way, own in cuts.items()})
    result: dict[str, Any] = {}
    for way, own in cuts.items():
        result[way] = {"recordings": len(own)} | cutting_scores(own)
        if heard[way]:
            result[way] |= {"emotions": emotion_scores(own), "by voice": emotion_scores(heard[way])}
    return result


def _labelled(cuts: Sequence[Cut]) -> bool:
    """Whether emotions are known."""
    return any(piece.emotion is not None for each in cuts for piece in each.recording.pieces)


def recordings(data: Path, part: str, count: int, work: Path | None) -> Iterable[Joined]:
    """What a part looks at."""
    if part == "meetings":
        return meetings(data / "turns")
    return sample() if part == "sample" else joined(data, part, count, work)


def update(path: Path, changes: Mapping[str, Any]) -> None:
    """Put results into a JSON file, part by part, way by way."""
    result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, value in changes.items():
        result[name] = result.get(name, {}) | value if isinstance(value, dict) else value
    write_text(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ravdess/, …, turns/, erc/")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--count", type=int, default=40, help="joined recordings of a part")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--work", type=Path, help="keeps recordings and turns, to go on where it stopped")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pipeline = Pipeline.from_pretrained(arguments.model)
    for way in arguments.ways:  # what is loaded at first use is loaded before it is timed
        cut(pipeline, next(iter(sample())), way)
    update(arguments.out, {"machine": platform.processor() or platform.machine()})
    for part in arguments.parts:
        found = measure(
            pipeline,
            recordings(arguments.data, part, arguments.count, arguments.work),
            arguments.ways,
            arguments.work,
        )
        update(arguments.out, {part: found})


if __name__ == "__main__":
    main()
