"""Several inputs, one after the other, by the bundled model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mister_e import Conversation, Pipeline, Utterance
from mister_e.analysis.turns import ConversationAnalysis, FailedInput
from mister_e.errors import InputError
from mister_e.inputs import Input, named_inputs
from mister_e.progress import INPUT

RECORDING = Path(__file__).parent.parent / "samples" / "conversation.flac"


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_pretrained("mini", device="cpu")


@pytest.fixture
def chats(tmp_path) -> list[Path]:
    """Three transcripts, the second empty."""
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path, text in zip(paths, ("Hello there.\n", "", "I'm so sorry.\n"), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def inputs(paths: list[Path]) -> tuple[Input, ...]:
    return named_inputs((path, None) for path in paths)


def test_each_result_comes_as_soon_as_it_is_done(pipeline, chats):
    stages: list[tuple[str, float, float]] = []
    results = pipeline.analyze_each(inputs(chats), progress=lambda *step: stages.append(step))
    assert next(results).id == "a"
    assert [step for step in stages if step[0] == INPUT] == [(INPUT, 1, 3)]
    assert [str(getattr(result, "id", result)) for result in results][-1] == "c"
    assert [step for step in stages if step[0] == INPUT] == [(INPUT, number, 3) for number in (1, 2, 3)]


def test_one_that_cannot_be_read_does_not_stop_the_others(pipeline, chats):
    first, failed, last = pipeline.analyze_each(inputs(chats))
    assert failed == FailedInput(
        str(chats[1]), f"{chats[1]}: holds no words; expected at least one turn with text"
    )
    analysis = pipeline.collect([first, failed, last])
    assert analysis.conversations == (first, last)
    assert analysis.errors == (failed,)
    assert analysis == pipeline(chats)


def test_whatever_one_does_to_a_decoder_the_others_are_analysed(pipeline, chats, monkeypatch):
    analyze = Pipeline.analyze

    def break_down(self: Pipeline, source: Path, **options: object) -> ConversationAnalysis:
        if source == chats[1]:
            raise RuntimeError("decoder gave up")
        return analyze(self, source, **options)

    monkeypatch.setattr(Pipeline, "analyze", break_down)
    _, failed, last = pipeline.analyze_each(inputs(chats))
    assert failed == FailedInput(str(chats[1]), "RuntimeError: decoder gave up")
    assert last.id == "c"
    with pytest.raises(RuntimeError, match="decoder gave up"):
        pipeline(chats[1])


def test_the_only_input_fails_as_itself(pipeline, chats):
    with pytest.raises(InputError, match="holds no words"):
        list(pipeline.analyze_each(inputs(chats[1:2])))


def test_an_input_has_its_own_transcript_and_name(pipeline):
    conversation = Conversation("call", (Utterance("t1", "Hello"),))
    transcript = RECORDING.with_suffix(".srt")
    given = (Input(RECORDING, transcript, "with words"), Input(conversation, None, "conversation"))
    recording, words = pipeline.analyze_each(given)
    assert (recording.id, len(recording)) == ("with words", 14)
    assert recording.utterances[0].text == "Hi, it's me. I'm at your apartment to water the plants."
    assert (words.id, len(words)) == ("conversation", 1)


def test_a_model_that_tells_no_voices_cuts_at_sentences_and_refuses_voices_once(pipeline, chats):
    deaf = Pipeline(replace(pipeline.model, voices=None))
    given = (Input(RECORDING, None, "one"), Input(RECORDING, None, "two"))
    with pytest.raises(InputError, match=r"has nothing that tells changes of voice.*--turns sentences"):
        next(deaf.analyze_each(given, turns="voices"))
    # where the turns are told, and where there is no sound, nobody asks
    transcript = RECORDING.with_suffix(".srt")
    told = (Input(RECORDING, transcript, "told"), *inputs(chats[:1]))
    assert [len(found) > 0 for found in deaf.analyze_each(told, turns="voices")] == [True, True]
    sentences = deaf(RECORDING)
    assert sentences == deaf(RECORDING, turns="sentences")
    assert len(sentences) > len(pipeline(RECORDING)) == 14
    assert pipeline(RECORDING) == pipeline(RECORDING, turns="voices")
