from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mister_e.analysis.result import Analysis
from mister_e.cli.inputs import Input
from mister_e.cli.outputs import Output
from mister_e.cli.run import judge_each
from mister_e.cli.writing import Writer
from mister_e.errors import InputError
from mister_e.progress import silent

INPUTS = [Input(Path(f"calls/{name}.wav"), None, name) for name in "abc"]


@pytest.fixture
def writer(tmp_path) -> Writer:
    return Writer([Output("json", folder=tmp_path / "results")])


def judge_with(analysis, failing: str, error: BaseException):
    def judge(one: Input, progress):
        if one.name == failing:
            raise error
        return analysis(sources=(str(one.path),)).conversations[0]

    return judge


def names(writer: Writer) -> list[str]:
    return [path.name for path in writer.written]


def test_what_is_done_before_ctrl_c_is_kept(analysis, writer):
    judge = judge_with(analysis, "c", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        judge_each(INPUTS, judge, analysis(sources=()), writer, silent)
    assert names(writer) == ["a.json", "b.json"]
    for path in writer.written:
        assert len(Analysis.from_json(path.read_text()).conversations) == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("calls/b.wav: the file is empty"), "calls/b.wav: the file is empty"),
        (RuntimeError("decoder gave up"), "RuntimeError: decoder gave up"),
    ],
)
def test_whatever_one_of_several_does_the_others_are_judged(analysis, writer, error, message):
    result = judge_each(INPUTS, judge_with(analysis, "b", error), analysis(sources=()), writer, silent)
    assert names(writer) == ["a.json", "c.json"]
    assert [one.source for one in result.conversations] == ["calls/a.wav", "calls/c.wav"]
    assert [(one.source, one.error) for one in result.errors] == [("calls/b.wav", message)]


def test_the_only_input_fails_as_itself(analysis, writer):
    with pytest.raises(RuntimeError, match="decoder gave up"):
        judge_each(
            INPUTS[:1], judge_with(analysis, "a", RuntimeError("decoder gave up")), analysis(), writer, silent
        )


def test_a_conversation_takes_the_name_of_its_input(analysis, writer):
    twins = [INPUTS[0], replace(INPUTS[0], path=Path("calls/a.mp4"), name="a.mp4")]
    result = judge_each(twins, judge_with(analysis, "", ValueError()), analysis(sources=()), writer, silent)
    assert [one.id for one in result.conversations] == ["a", "a.mp4"]
    assert names(writer) == ["a.json", "a.mp4.json"]


def test_progress_says_which_file_it_is(analysis, writer):
    stages: list[str] = []

    def judge(one: Input, progress):
        progress("judge", 1, 2)
        return analysis(sources=(str(one.path),)).conversations[0]

    judge_each(INPUTS, judge, analysis(sources=()), writer, lambda stage, done, total: stages.append(stage))
    assert stages == [f"file {i} of 3: {name}.wav · judge" for i, name in enumerate("abc", start=1)]
