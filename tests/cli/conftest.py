from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, TurnAnalysis
from mister_e.cli import app
from mister_e.conversation import NO_WORDS
from mister_e.experts import EXPERTS
from mister_e.labels import MELD_EMOTIONS

SAMPLES = Path(__file__).parents[2] / "samples"

Run = Callable[..., Result]


def make_turn(
    number: int = 1,
    text: str | None = "I know.",
    emotion: str = "sadness",
    gate: tuple[float, float, float] = (0.6, 0.1, 0.3),
    *,
    start: float | None = 4.0,
    channel: int | None = None,
) -> TurnAnalysis:
    scores = {label: 0.64 if label == emotion else 0.06 for label in MELD_EMOTIONS}
    return TurnAnalysis(
        id=f"{number}",
        start=start,
        end=None if start is None else start + 3,
        channel=channel,
        text=text,
        emotion=emotion,
        confidence=0.64,
        scores=scores,
        experts=dict.fromkeys(EXPERTS, scores),
        gate=dict(zip(EXPERTS, gate, strict=True)),
        missing=() if text else ("text",),
        notes=() if text else (NO_WORDS,),
    )


def make_analysis(*turns: TurnAnalysis, sources: tuple[str, ...] = ("calls/call.wav",)) -> Analysis:
    conversations = tuple(
        ConversationAnalysis(Path(source).stem, source, 61.0, turns or (make_turn(),)) for source in sources
    )
    return Analysis("0.1.0", {"name": "mini"}, MELD_EMOTIONS, conversations)


@pytest.fixture
def turn() -> Callable[..., TurnAnalysis]:
    """Make a turn by hand, to test what is drawn without a model."""
    return make_turn


@pytest.fixture
def analysis() -> Callable[..., Analysis]:
    """Make an analysis by hand, to test what is written without a model."""
    return make_analysis


@pytest.fixture
def run() -> Run:
    """Run the command line in this process."""

    def call(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})

    return call


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """Transcript of two turns: the real model needs well under a second for it."""
    path = tmp_path / "chat.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:03,000\nI can't believe you did that!\n\n"
        "2\n00:00:03,500 --> 00:00:05,000\nI'm so sorry.\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def recording() -> Path:
    """The sample that comes with the repository."""
    return SAMPLES / "conversation.flac"
