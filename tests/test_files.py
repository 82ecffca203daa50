"""Files: names that are not UTF-8, and names as long as a file system takes them."""

from __future__ import annotations

import os

import pytest

from mister_e.files import readable, writable, write_text


@pytest.mark.posix
def test_a_name_that_is_not_utf8_is_shown_by_its_bytes():
    assert readable(os.fsdecode(b"caf\xe9/\xff.wav")) == r"caf\xe9/\xff.wav"
    assert readable("café 😀.wav") == "café 😀.wav"


def test_half_characters_are_replaced():
    assert readable("half \ud83d") == writable("half \ud83d") == "half \ufffd"
    assert writable("\udce9") == "\ufffd"


@pytest.mark.posix
def test_text_is_written_whatever_its_letters_and_the_length_of_the_name(tmp_path):
    out = tmp_path / os.fsdecode(b"\xe9" * 250 + b".json")
    write_text(out, "half \ud83d\n")
    assert out.read_text(encoding="utf-8") == "half \ufffd\n"
    assert list(tmp_path.iterdir()) == [out]
