"""Words of a language that a model does not read are noted, and not read."""

from __future__ import annotations

import pytest

from mister_e.conversation import CROSSTALK, OTHER_LANGUAGE, Utterance
from mister_e.encoders.embed import _read, note_languages


def turn(language: str | None, *notes: str, text: str | None = "Tak.") -> Utterance:
    return Utterance("t1", text, language=language, notes=notes)


@pytest.mark.parametrize(
    ("given", "languages", "notes"),
    [
        (turn("pl"), ["en"], (OTHER_LANGUAGE,)),
        (turn("pl", CROSSTALK), ["en"], (CROSSTALK, OTHER_LANGUAGE)),
        (turn("pl", OTHER_LANGUAGE), ["en"], (OTHER_LANGUAGE,)),
        (turn("pl", OTHER_LANGUAGE), ["en", "pl"], ()),
        (turn("pl"), [], ()),
        (turn(None), ["en"], ()),
        (turn("en-GB"), ["EN"], ()),
        (turn("en"), ["en_US"], ()),
        (turn("pl", text=None), ["en"], ()),
        (turn("pl", text="..."), ["en"], ()),
    ],
)
def test_what_is_noted(given, languages, notes):
    (noted,) = note_languages([given], languages)
    assert noted.notes == notes
    assert (_read(noted) is None) == (OTHER_LANGUAGE in notes or given.text is None)
