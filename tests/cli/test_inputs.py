from __future__ import annotations

import json
from pathlib import Path

import pytest

from mister_e.cli.inputs import Found, expand
from mister_e.errors import InputError

SRT = "1\n00:00:01,000 --> 00:00:03,000\n{}\n"


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def files(found: Found) -> list[Path]:
    return [given.source for given in found.inputs]


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        expand(*arguments, **options)
    return str(caught.value)


def test_a_folder_gives_its_recordings_by_name_and_says_what_it_skips(tmp_path):
    b, a = touch(tmp_path, "b.WAV", "a.mp4")
    touch(tmp_path, ".hidden.wav", "README.txt", "out.csv", "other.srt")
    (tmp_path / "sub.wav").mkdir()
    found = expand([tmp_path])
    assert files(found) == [a, b]
    assert found.several
    assert found.notes == ("skipped 3 files that are not recordings: README.txt, other.srt, out.csv",)


@pytest.mark.parametrize(
    "name", ["a.wmv", "a.FLV", "a.mka", "a.au", "a.caf", "a.ts", "a.3gp", "a.amr", "a.aiff"]
)
def test_a_folder_knows_rare_recordings(tmp_path, name):
    wanted = touch(tmp_path, name)
    assert files(expand([tmp_path])) == wanted


def test_many_skipped_files_stay_on_one_line(tmp_path):
    touch(tmp_path, "a.wav", *(f"{number}.txt" for number in range(9)))
    (note,) = expand([tmp_path]).notes
    assert note == ("skipped 9 files that are not recordings: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more")


def test_the_transcript_beside_a_recording_gives_its_words(tmp_path):
    touch(tmp_path, "a.wav", "b.mp4", "c.flac")
    (tmp_path / "a.vtt").write_text("WEBVTT\n")
    (tmp_path / "a.srt").write_text(SRT.format("Hello."))
    (tmp_path / "b.json").write_text('[{"start": 0, "end": 1, "text": "Hello."}]')
    found = expand([tmp_path])
    assert [given.transcript and given.transcript.name for given in found.inputs] == ["a.srt", "b.json", None]
    assert found.notes == (
        "the words of 2 recordings come from the transcripts beside them: a.srt, b.json",
        "skipped 1 file that is not a recording: a.vtt",
    )
    without = expand([tmp_path], no_asr=True)
    assert [given.transcript for given in without.inputs] == [None, None, None]
    assert files(without) == files(found)


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (["call.wav.srt"], "call.wav.srt"),
        (["call.en.srt"], "call.en.srt"),
        (["call.en-US.vtt"], "call.en-US.vtt"),
        (["call.wav.en.srt"], "call.wav.en.srt"),
        (["call.transcript.vtt"], "call.transcript.vtt"),
        (["call.en.srt", "call.wav.srt", "call.srt"], "call.srt"),
        (["call.en.srt", "call.wav.srt"], "call.wav.srt"),
        (["call.en.srt", "call.vtt"], "call.en.srt"),
        (["call.de.srt"], None),
        (["call.mp3.srt"], None),
        (["call.en.forced.srt"], None),
        (["caller.srt"], None),
    ],
)
def test_other_names_of_the_transcript_of_a_recording(tmp_path, names, used):
    touch(tmp_path, "call.wav")
    for name in names:
        (tmp_path / name).write_text(SRT.format("Hello."))
    (given,) = expand([tmp_path]).inputs
    assert (given.transcript and given.transcript.name) == used
    if used is None and names == ["call.de.srt"]:
        (german,) = expand([tmp_path], language="de").inputs
        assert german.transcript.name == "call.de.srt"
        assert expand([tmp_path], language="DE-at").inputs == (german,)


def test_a_transcript_of_one_extension_is_not_that_of_the_other_recording(tmp_path):
    touch(tmp_path, "call.mp4", "call.wav")
    (tmp_path / "call.wav.srt").write_text(SRT.format("Hello."))
    assert [given.transcript is None for given in expand([tmp_path]).inputs] == [True, False]


@pytest.mark.parametrize(
    ("recordings", "name", "owners"),
    [
        (["call.en.wav", "call.wav"], "call.en.srt", ["call.en.wav"]),
        (["call.en.wav", "call.wav"], "call.en.sdh.srt", ["call.en.wav"]),
        (["call.en.wav", "call.wav"], "call.en.wav.en.vtt", ["call.en.wav"]),
        (["call.en.wav", "call.wav"], "call.cc.srt", ["call.wav"]),
        (["call.wav", "call.wav.mp3"], "call.wav.srt", ["call.wav.mp3"]),
        (["call.mp3", "call.wav"], "call.srt", ["call.mp3", "call.wav"]),
        (["call.mp3", "call.wav"], "call.en.srt", ["call.mp3", "call.wav"]),
    ],
)
def test_a_transcript_is_that_of_the_recording_it_fits_best(tmp_path, recordings, name, owners):
    touch(tmp_path, *recordings)
    (tmp_path / name).write_text(("WEBVTT\n\n" if name.endswith("vtt") else "") + SRT.format("Hello."))
    given = {found.source.name: found.transcript for found in expand([tmp_path]).inputs}
    assert [recording for recording in recordings if given[recording]] == owners


def test_a_transcript_that_cannot_be_read_does_not_stop_its_recording(tmp_path):
    touch(tmp_path, "a.wav", "a.srt", "b.wav")
    (tmp_path / "b.srt").write_bytes(b"\0")
    (tmp_path / "b.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n")
    found = expand([tmp_path])
    assert [given.transcript and given.transcript.name for given in found.inputs] == [None, "b.vtt"]
    assert found.notes[:2] == (
        f"{tmp_path / 'a.srt'}: holds no words; expected at least one turn with text;"
        " the words of a.wav come from elsewhere",
        f"{tmp_path / 'b.srt'}: is not text; expected a transcript; the words of b.wav come from elsewhere",
    )
    strict = expand([tmp_path], strict=True)
    assert [given.transcript.name for given in strict.inputs] == ["a.srt", "b.srt"]


def test_what_mister_e_wrote_and_other_json_are_no_words(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    (tmp_path / "a.json").write_text('{\n  "mister_e": "0.1.0", "conversations": []}')
    (tmp_path / "b.json").write_text(json.dumps({"camera": "front"}))
    (tmp_path / "c.srt").write_text(SRT.format("[sadness 71%] I know."))
    (tmp_path / "d.srt").write_text(SRT.format("[sadness ? 34%] I know."))
    assert [given.transcript for given in expand([tmp_path]).inputs] == [None, None, None, None]


def test_a_folder_of_subtitles_alone_is_read_by_its_words(tmp_path):
    a, b = touch(tmp_path, "a.srt", "b.vtt")
    touch(tmp_path, "notes.txt", "out.json")
    assert files(expand([tmp_path])) == [a, b]


def test_files_keep_their_order_and_come_once(tmp_path):
    b, a = touch(tmp_path, "b.wav", "a.wav")
    assert files(expand([b, a, b, tmp_path])) == [b, a]
    assert not expand([b]).several


def test_a_file_named_by_hand_may_have_any_extension_and_is_not_called_skipped(tmp_path):
    odd, chat, _ = touch(tmp_path, "call.recording", "chat.txt", "a.wav")
    assert files(expand([odd])) == [odd]
    assert expand([tmp_path, odd, chat]).notes == ()


def test_every_conversation_has_a_name_of_its_own(tmp_path):
    paths = [Path("x/cut.wav"), Path("x/cut.mp4"), Path("y/cut.wav"), Path("y/cut.mp4"), Path("a.wav")]
    names = [given.name for given in expand(paths).inputs]
    assert names == ["cut", "cut.mp4", "cut.wav", "cut-2", "a"]


def test_a_missing_file_alone_is_an_error_and_among_others_is_left_to_the_pipeline(tmp_path):
    (a,) = touch(tmp_path, "a.wav")
    missing = tmp_path / "missing.wav"
    assert refusal([missing]) == f"{missing}: no such file or folder"
    assert files(expand([a, missing])) == [a, missing]


def test_a_folder_without_recordings_says_what_was_looked_for(tmp_path):
    touch(tmp_path, "notes.docx", "chat.txt")
    message = refusal([tmp_path])
    head = f"{tmp_path}: no recording in this folder, and no subtitles; looked for "
    assert message.startswith(head)
    assert {"wav", "mp4", "srt"} <= set(message.removeprefix(head).split(", "))


def test_a_transcript_goes_with_one_recording(tmp_path):
    a, b, words = touch(tmp_path, "a.wav", "b.wav", "a.srt")
    (given,) = expand([a], words).inputs
    assert (given.source, given.transcript) == (a, words)
    assert refusal([a, b], words) == "--transcript goes with exactly one recording, got 2 inputs"
    assert refusal([words], words) == (
        f"{words}: is a transcript itself; give the recording as INPUT, or leave --transcript out"
    )
    assert refusal([a], tmp_path / "none.srt") == f"{tmp_path}/none.srt: no such transcript"


def test_cuts_go_with_one_recording_and_no_transcript(tmp_path):
    a, b, words, cuts = touch(tmp_path, "a.wav", "b.wav", "c.srt", "a.rttm")
    (given,) = expand([a], cuts=cuts).inputs
    assert (given.source, given.transcript, given.cuts) == (a, None, cuts)
    assert given.files == (a, cuts)
    assert refusal([a, b], cuts=cuts) == "--cuts goes with exactly one recording, got 2 inputs"
    assert refusal([a], words, cuts=cuts) == (
        "--cuts and --transcript both say where turns begin and end: leave one of them out"
    )
    assert refusal([words], cuts=cuts) == f"{words}: is a transcript; --cuts needs the recording as INPUT"
    assert refusal([a], cuts=tmp_path / "none") == f"{tmp_path}/none: no such file of cuts"


def test_cuts_take_the_place_of_the_transcript_beside_a_recording(tmp_path):
    (tmp_path / "calls").mkdir()
    a, _ = touch(tmp_path / "calls", "a.wav", "a.srt")
    (cuts,) = touch(tmp_path, "a.rttm")
    (given,) = expand([tmp_path / "calls"], cuts=cuts).inputs
    assert (given.source, given.transcript, given.cuts) == (a, None, cuts)


def test_words_and_no_words_contradict_each_other(tmp_path):
    a, words = touch(tmp_path, "a.wav", "a.srt")
    assert refusal([a], words, no_asr=True) == (
        "--no-asr uses the sound alone and --transcript gives words: leave one of them out"
    )
    for given in ([words], [a, words]):
        assert refusal(given, no_asr=True) == (
            f"{words}: is a transcript, and --no-asr uses the sound alone; leave --no-asr out"
        )
