"""Analyses for the tests of the report: the sample conversation with made-up scores, and variations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.audio.decode import blocks
from mister_e.conversation import NO_WORDS, Conversation
from mister_e.experts import EXPERTS
from mister_e.labels import MELD_EMOTIONS, LabelSet

SAMPLES = Path(__file__).parents[2] / "samples"

FEELINGS = (
    "neutral", "joy", "neutral", "surprise", "neutral", "fear", "joy",
    "joy", "disgust", "anger", "sadness", "sadness", "neutral", "joy",
)  # fmt: skip

MODEL = {
    "name": "mini",
    "labels": list(MELD_EMOTIONS),
    "encoders": {"text": "MiniLM-L6", "speech": "Whisper tiny.en"},
}


def judged(
    number: int,
    emotion: str,
    text: str | None,
    start: float | None = None,
    end: float | None = None,
    *,
    missing: tuple[str, ...] = (),
    labels: LabelSet = MELD_EMOTIONS,
) -> TurnAnalysis:
    """One turn with scores drawn from a seed: its number."""
    rng = np.random.default_rng(number)
    present = [not set(missing) & needs for needs in ({"speech"}, {"text"}, {"speech", "text"})]
    gate = rng.dirichlet([2, 3, 4]) * present
    gate /= gate.sum()
    lean = np.array([3.0 if label == emotion else 0.35 for label in labels])
    columns = [rng.dirichlet(lean) if there else None for there in present]
    mixed = sum(weight * column for weight, column in zip(gate, columns, strict=True) if column is not None)
    # the emotion of a result is its highest score
    best = int(np.argmax(mixed))
    wanted = labels.index(emotion)
    mixed[best], mixed[wanted] = mixed[wanted], mixed[best]
    return TurnAnalysis(
        id=str(number),
        start=start,
        end=end,
        channel=None,
        text=text,
        emotion=emotion,
        confidence=float(mixed[wanted]),
        scores=labels.scores(mixed),
        experts={
            name: None if column is None else labels.scores(column)
            for name, column in zip(EXPERTS, columns, strict=True)
        },
        gate=dict(zip(EXPERTS, map(float, gate), strict=True)),
        missing=missing,
        notes=() if text is not None else (NO_WORDS,),
    )


def sample() -> ConversationAnalysis:
    """The sample conversation, judged, with the loudness of its recording."""
    data = json.loads((SAMPLES / "conversation.json").read_text(encoding="utf-8"))
    conversation = Conversation.from_json(data)
    turns = [
        judged(i, feeling, utterance.text, utterance.start, utterance.end)
        for i, (feeling, utterance) in enumerate(zip(FEELINGS, conversation, strict=True), start=1)
    ]
    turns[4] = judged(5, "neutral", turns[4].text, turns[4].start, turns[4].end, missing=("speech",))
    turns[12] = judged(13, "neutral", None, turns[12].start, turns[12].end, missing=("text",))
    recording = SAMPLES / "conversation.flac"
    samples = np.abs(np.concatenate([block[0] for block in blocks(recording)]))
    loudness = samples[: len(samples) // 600 * 600].reshape(600, -1).max(1)
    return ConversationAnalysis(
        "Watering the plants",
        str(recording),
        conversation.duration,
        tuple(turns),
        waveform=tuple(map(float, loudness)),
    )


def doubtful() -> Analysis:
    """The sample with turns 4 and 10 uncertain, below the limit that the model states."""
    turns = tuple(
        replace(turn, confidence=0.31, uncertain=True) if turn.id in ("4", "10") else turn
        for turn in sample()
    )
    result = analysis(replace(sample(), utterances=turns))
    return replace(result, model={**MODEL, "uncertain_below": 0.4})


def text_only(texts: Sequence[str], feelings: Sequence[str] = FEELINGS) -> ConversationAnalysis:
    """A transcript without times or sound."""
    turns = tuple(
        judged(i, feelings[i % len(feelings)], text, missing=("speech",))
        for i, text in enumerate(texts, start=1)
    )
    return ConversationAnalysis("chat", "notes/chat.csv", None, turns)


def long(count: int) -> ConversationAnalysis:
    """A recording of `count` turns of three seconds."""
    turns = tuple(
        replace(
            judged(i, FEELINGS[i % len(FEELINGS)], "So what would you like me to do about it now?"),
            start=3.5 * i,
            end=3.5 * i + 3,
        )
        for i in range(count)
    )
    return ConversationAnalysis("long", "long.wav", 3.5 * count + 5, turns, waveform=(0.2, 0.7) * 600)


def analysis(
    *conversations: ConversationAnalysis,
    errors: tuple[FailedInput, ...] = (),
    labels: LabelSet = MELD_EMOTIONS,
) -> Analysis:
    """An analysis by a model called mini."""
    return Analysis("0.1.0", MODEL, labels, conversations, errors)
