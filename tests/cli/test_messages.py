from __future__ import annotations

import pytest
import typer

from mister_e.cli.messages import complain, exit_codes, explain, say
from mister_e.errors import InputError


def ends_with(error: BaseException, debug: bool = False) -> int:
    with pytest.raises(typer.Exit) as caught, exit_codes(debug):
        raise error
    return caught.value.exit_code


def test_bad_input_ends_with_2_and_its_message(capsys):
    assert ends_with(InputError("call.wav: the file is empty")) == 2
    assert capsys.readouterr().err == "error: call.wav: the file is empty\n"


def test_a_failure_ends_with_1_on_one_line(capsys):
    assert ends_with(RuntimeError("no memory")) == 1
    assert capsys.readouterr().err == "error: RuntimeError: no memory (--debug shows where)\n"


def test_debug_shows_the_traceback(capsys):
    assert ends_with(RuntimeError("no memory"), debug=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(capsys):
    assert ends_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_an_exit_code_passes_through():
    assert ends_with(typer.Exit(2)) == 2


def test_a_message_stays_on_one_line_and_without_control_characters(capsys):
    say("error", "a\x1b[31m\nb")
    assert capsys.readouterr().err == "error: a [31m b\n"


def test_an_error_is_explained_on_one_line(capsys):
    assert explain(InputError("call.wav: the file is empty")) == "call.wav: the file is empty"
    missing = ModuleNotFoundError("No module named 'peft'", name="peft.tuners")
    assert explain(missing) == "this needs peft, which comes with an extra: pip install 'mister-e[train]'"
    assert explain(OSError(28, "No space left")) == "OSError: [Errno 28] No space left"
    assert complain(OSError(28, "No space left"), debug=False) == 1
    assert capsys.readouterr().err == "error: OSError: [Errno 28] No space left (--debug shows where)\n"
