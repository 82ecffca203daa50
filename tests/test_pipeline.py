"""The whole road on real input, with the bundled model."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from mister_e import Analysis, Conversation, Pipeline, Utterance
from mister_e.audio.decode import read_clip
from mister_e.conversation import CROSSTALK, Clip
from mister_e.errors import InputError

SAMPLES = Path(__file__).parent.parent / "samples"
RECORDING = SAMPLES / "conversation.flac"


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="session")
def analysed(pipeline) -> Analysis:
    return pipeline(RECORDING)


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def check(analysis: Analysis) -> None:
    for turn in analysis:
        assert sum(turn.scores.values()) == pytest.approx(1)
        assert sum(turn.gate.values()) == pytest.approx(1, abs=1e-12)
        assert turn.confidence == max(turn.scores.values())
        assert turn.scores[turn.emotion] == turn.confidence
        assert turn.uncertain == (turn.confidence < analysis.uncertain_below)
        for name, scores in turn.experts.items():
            if scores is None:
                assert turn.gate[name] == 0
            else:
                assert sum(scores.values()) == pytest.approx(1)


def test_a_recording_becomes_turns_with_words_and_emotions(analysed):
    check(analysed)
    (conversation,) = analysed.conversations
    assert 12 <= len(conversation) <= 16
    words = " ".join(turn.text or "" for turn in conversation).lower()
    for phrase in ("thank you so much", "full scholarship", "rotten", "landlord"):
        assert phrase in words
    assert conversation.duration == pytest.approx(57.6, abs=1.5)
    assert all(turn.missing == () for turn in conversation)
    by_words = {turn.text: turn.emotion for turn in conversation}
    assert next(e for t, e in by_words.items() if "thank you so much" in t.lower()) == "joy"
    assert len(set(by_words.values())) >= 4
    assert 0 < len(conversation.waveform) <= 1000


def test_json_of_a_real_run_survives(analysed):
    assert Analysis.from_json(analysed.to_json()) == analysed


def test_the_same_recording_gives_the_same_numbers(pipeline, analysed):
    assert pipeline(RECORDING) == analysed


def test_a_transcript_replaces_recognition(pipeline):
    analysis = pipeline(RECORDING, transcript=SAMPLES / "conversation.srt")
    check(analysis)
    assert len(analysis) == 14
    assert next(iter(analysis)).text == "Hi, it's me. I'm at your apartment to water the plants."
    assert all(turn.gate["fusion"] > 0 for turn in analysis)


def test_text_alone_asks_the_text_expert_alone(pipeline):
    analysis = pipeline(SAMPLES / "conversation.srt")
    check(analysis)
    assert len(analysis) == 14
    for turn in analysis:
        assert turn.missing == ("speech",)
        assert turn.gate == {"speech": 0.0, "text": 1.0, "fusion": 0.0}
        assert turn.experts["speech"] is None
        assert turn.scores == pytest.approx(turn.experts["text"])


def test_no_asr_asks_the_speech_expert_alone(pipeline):
    analysis = pipeline(RECORDING, asr=False)
    check(analysis)
    assert len(analysis) >= 12
    for turn in analysis:
        assert turn.text is None
        assert turn.missing == ("text",)
        assert turn.gate == {"speech": 1.0, "text": 0.0, "fusion": 0.0}


def test_each_channel_is_cut_by_itself(pipeline):
    analysis = pipeline(SAMPLES / "conversation-stereo.ogg", channels="split", asr=False)
    turns = list(analysis)
    assert {turn.channel for turn in turns} == {0, 1}
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)


def test_swapping_the_channels_changes_no_emotion(pipeline):
    """A channel is a way to cut, and no feature."""
    cues = [
        Utterance(f"t{i}", text, channel=i % 2, audio=Clip(str(RECORDING), 4.0 * i, 4.0 * i + 3))
        for i, text in enumerate(["Oh no!", "What happened?", "It broke.", "I am sorry."])
    ]
    swapped = [Utterance(c.id, c.text, channel=1 - c.channel, audio=c.audio) for c in cues]
    one, other = (pipeline(Conversation("c", tuple(rows))) for rows in (cues, swapped))
    for first, second in zip(one, other, strict=True):
        assert first.channel != second.channel
        assert first.scores == second.scores


def test_louder_or_quieter_is_the_same_conversation(pipeline):
    def conversation(gain: float) -> Conversation:
        clips = [gain * read_clip(RECORDING, start, start + 3, None) for start in (0.0, 3.5, 11.0)]
        turns = (Utterance(f"t{i}", audio=Clip(samples=clip)) for i, clip in enumerate(clips))
        return Conversation("c", tuple(turns))

    for one, other in zip(pipeline(conversation(1.0)), pipeline(conversation(0.1)), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=0.02)


def test_turns_may_lack_words_or_sound_or_both(pipeline):
    sound = Clip(str(RECORDING), 0.0, 3.0)
    analysis = pipeline(
        Conversation(
            "c",
            (
                Utterance("both", "Hello there.", audio=sound),
                Utterance("words", "I hate this."),
                Utterance("sound", audio=sound),
                Utterance("silence", "  ", audio=Clip(samples=np.zeros(16_000, np.float32))),
                Utterance("silent words", "Great!", audio=Clip(samples=np.zeros(16_000, np.float32))),
            ),
        )
    )
    check(analysis)
    missing = {turn.id: turn.missing for turn in analysis}
    assert missing == {
        "both": (),
        "words": ("speech",),
        "sound": ("text",),
        "silent words": ("speech",),
    }
    assert analysis.conversations[0].notes == ("1 turns without words or sound were left out: silence",)


def test_what_is_not_heard_or_read_is_noted(pipeline):
    long = Clip(samples=np.tile(read_clip(RECORDING, 0.0, 20.0, None), 3))
    turns = (Utterance("long", "word " * 500, audio=long), Utterance("short", "Hello."))
    (conversation,) = pipeline(Conversation("c", turns)).conversations
    assert conversation.notes == (
        "long: only its first 30 s were heard",
        "1 of 2 turns are longer than 128 tokens: their ends were not read",
    )


def test_silence_is_a_valid_recording_without_turns(pipeline, tmp_path):
    path = write_wav(tmp_path / "silence.wav", np.zeros(16_000 * 120))
    (conversation,) = pipeline(path).conversations
    assert len(conversation) == 0
    assert conversation.notes == ("no speech was found",)
    assert conversation.duration == pytest.approx(120, abs=0.1)


def test_a_tenth_of_a_second_is_valid(pipeline, tmp_path):
    random = np.random.default_rng(0)
    path = write_wav(tmp_path / "short.wav", 0.1 * random.normal(size=1_600))
    (conversation,) = pipeline(path).conversations
    assert conversation.duration == pytest.approx(0.1, abs=0.01)


def test_one_bad_input_stops_alone_but_not_the_rest(pipeline, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.wav"):
        pipeline(bad)
    analysis = pipeline([bad, SAMPLES / "conversation.srt"])
    assert [conversation.id for conversation in analysis.conversations] == ["conversation"]
    assert [failed.source for failed in analysis.errors] == [str(bad)]


def test_conversations_of_one_name_stay_apart(pipeline, tmp_path):
    paths = [tmp_path / "a" / "talk.txt", tmp_path / "b" / "talk.txt"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("Hello there.\n")
    first, second = pipeline(paths).conversations
    assert first.id != second.id
    assert [first.source, second.source] == [str(path) for path in paths]


def test_progress_is_told(pipeline):
    told: list[tuple[str, float, float]] = []
    pipeline(RECORDING, asr=False, progress=lambda *state: told.append(state))
    stages = {stage for stage, _, _ in told}
    assert {"input", "turns", "emotions"} <= stages
    assert all(done <= total + 1 for _, done, total in told if total)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "no-such-model"}, "unknown model"),
        ({"device": "abacus"}, "unknown device"),
    ],
)
def test_a_bad_model_or_device_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Pipeline.from_pretrained(**arguments)


def test_other_languages_need_a_transcript(pipeline):
    with pytest.raises(InputError, match="only English"):
        pipeline(RECORDING, language="de")


def test_a_transcript_belongs_to_one_recording(pipeline):
    with pytest.raises(InputError, match="belongs to one recording"):
        pipeline([RECORDING, RECORDING], transcript=SAMPLES / "conversation.srt")
    with pytest.raises(InputError, match="is a transcript itself"):
        pipeline(SAMPLES / "conversation.srt", transcript=SAMPLES / "conversation.srt")
    words = Conversation("c", (Utterance("t1", "Hello"),))
    with pytest.raises(InputError, match="has its own words"):
        pipeline(words, transcript=SAMPLES / "conversation.srt")


def test_a_recording_is_cut_where_a_diariser_says(pipeline, tmp_path):
    cuts = tmp_path / "call.rttm"
    rows = (
        "0.5 3.0 <NA> <NA> Quill",
        "3.6 2.4 <NA> <NA> Mara",
        "3.9 1.6 <NA> <NA> Quill",
        "8 -1 <NA> <NA> Mara",
    )
    cuts.write_text("".join(f"SPEAKER conversation 1 {row} <NA> <NA>\n" for row in rows))
    analysis = pipeline(RECORDING, cuts=cuts)
    turns = list(analysis)
    assert [(turn.start, turn.end) for turn in turns] == [(0.5, 3.5), (3.6, 6.0), (3.9, 5.5)]
    assert [CROSSTALK in turn.notes for turn in turns] == [False, True, True]
    assert "apartment" in turns[0].text
    (note,) = [note for note in analysis.conversations[0].notes if note.startswith("call.rttm: ")]
    assert note == "call.rttm: line 4: length is -1, expected seconds, 0 or more; it was left out"
    assert not any(name in analysis.to_json() for name in ("Quill", "Mara"))


def test_cuts_belong_to_one_recording_without_a_transcript(pipeline, tmp_path):
    cuts, words = tmp_path / "a.rttm", SAMPLES / "conversation.srt"
    with pytest.raises(InputError, match="a file of cuts belongs to one recording"):
        pipeline([RECORDING, RECORDING], cuts=cuts)
    with pytest.raises(InputError, match="leave one of them out"):
        pipeline(RECORDING, cuts=cuts, transcript=words)
    with pytest.raises(InputError, match="is a transcript itself"):
        pipeline(words, cuts=cuts)
    with pytest.raises(InputError, match="has its own turns"):
        pipeline(Conversation("c", (Utterance("t1", "Hello"),)), cuts=cuts)


def test_what_is_mono_is_told_where_channels_are_split(pipeline):
    (rows,) = pipeline(RECORDING, channels="split", asr=False).conversations
    assert "it has one channel: --channels split has nothing to split" in rows.notes
    assert {turn.channel for turn in rows} == {None}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same(analysed):
    on_gpu = Pipeline.from_pretrained("mini", device="cuda")(RECORDING)
    for one, other in zip(analysed, on_gpu, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-3)


def test_samples_are_analysed_as_their_file(pipeline):
    samples = read_clip(RECORDING, 0.0, 20.0, None)
    (found,) = pipeline((samples, 16_000), asr=False).conversations
    assert (found.id, found.source) == ("recording", None)
    assert found.duration == pytest.approx(20)
    (file,) = pipeline(RECORDING, asr=False).conversations
    early = [turn for turn in file if turn.end < 18]
    assert [(turn.start, turn.end) for turn in found][: len(early)] == [(t.start, t.end) for t in early]
    both = pipeline([(samples[:80_000], 16_000), (np.stack([samples, samples]), 16_000)], asr=False)
    assert [one.id for one in both.conversations] == ["recording", "recording-2"]


@pytest.mark.parametrize("given", [b"RIFF", np.zeros(16_000), 7, None, [np.zeros(9)], (np.zeros(9), "rate")])
def test_what_is_no_input_is_a_type_error(pipeline, given):
    with pytest.raises(TypeError, match=r"expected a path, a Conversation, or \(samples, sample rate\)"):
        pipeline(given)
