from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from importlib.resources import files

import pytest
from analyses import SAMPLES, analysis, doubtful, judged, long, sample, text_only
from parsed_page import Page

from mister_e.analysis.html.view import PLAIN_SCORES
from mister_e.analysis.runs import MANY_TURNS, runs
from mister_e.analysis.summary import summarize
from mister_e.analysis.turns import ConversationAnalysis, FailedInput
from mister_e.analysis.wording import NOTE_MEANINGS, clock
from mister_e.conversation import CROSSTALK, NO_WORDS, OTHER_LANGUAGE
from mister_e.experts import EXPERTS
from mister_e.labels import COLOURS, LabelSet

HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style></title><img src=x onerror=alert(1)>",
    "\"double\" 'single' `back` & {{ 7*7 }} {% raw %}",
    "]]><!-- -->",
)


NONE = "\N{EN DASH}"


@pytest.fixture(scope="module")
def page() -> str:
    return analysis(sample()).to_html()


def test_every_turn_stands_in_list_and_timeline_with_its_emotion_and_scores(page: str) -> None:
    parsed = Page(page)
    turns = sample().utterances
    assert [t["id"] for t in parsed.of_class("turn")] == [f"c1t{i}" for i in range(1, len(turns) + 1)]
    bars = [a for a in parsed.tags("a") if a.get("class") != "at"]
    assert [bar["href"] for bar in bars] == [f"#c1t{i}" for i in range(1, len(turns) + 1)]
    for turn in turns:
        assert turn.text is None or turn.text in parsed.texts
        silent = "" if turn.text else ", no words"
        assert f"{clock(turn.start)} {turn.emotion} {turn.confidence * 100:.0f}%{silent}" in parsed.texts
        weights = ", ".join(f"{name} {turn.gate[name] * 100:.0f}%" for name in EXPERTS)
        assert weights in parsed.texts
    assert "no words" in parsed.texts
    assert page.count("Missing: <b>speech</b>") == page.count("Missing: <b>text</b>") == 1


def test_an_uncertain_turn_is_marked_by_word_and_shape_and_the_page_says_what_that_means(page: str) -> None:
    unsure = doubtful().to_html()
    blocks = re.findall(r'<li class="turn.*?</li>', unsure, re.S)
    marked = [i for i, block in enumerate(blocks, start=1) if ">uncertain<" in block]
    assert marked == [4, 10]
    assert "surprise ? <small>31%</small>" in blocks[3]
    parsed = Page(unsure)
    assert len(parsed.of_class("unsure")) == 4, "a bar and a word each"
    assert parsed.texts.count("?") == 2, "each in its bar"
    assert "0:11 surprise 31%, uncertain" in parsed.texts
    says = (
        "2 of 14 turns uncertain, marked ? here and dashed on the timeline:"
        " confidence below 40%, wrong more often than right."
    )
    assert says in parsed.texts
    assert "uncertain" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S)


def test_uncertain_words_are_grey_and_say_so_and_are_escaped(page: str) -> None:
    first, *rest = sample().utterances
    heard = replace(first, text="Aah <b>aah", asr_confidence=0.2, text_uncertain=True)
    doubted = analysis(replace(sample(), utterances=(heard, *rest))).to_html()
    row = re.search(r'<li class="turn.*?</li>', doubted, re.S)
    assert row
    assert '<p class="text doubted"><span dir="auto">Aah &lt;b&gt;aah</span>' in row[0]
    assert "words uncertain, not read" in row[0]
    assert doubted.count('class="text doubted"') == 1
    assert 'class="text doubted"' not in page


def test_a_narrow_bar_has_no_letter_that_would_not_fit() -> None:
    many = replace(long(200), utterances=tuple(replace(t, uncertain=True) for t in long(200)))
    assert "?" not in Page(analysis(many).to_html()).texts
    told = "200 of 200 turns uncertain, marked ? here and dashed on the timeline: low confidence."
    assert told in analysis(many).to_html()


def test_scores_of_a_turn_are_whole_percents_and_absent_experts_are_dashes(page: str) -> None:
    turn = sample().utterances[4]
    block = page[page.index('id="c1t5"') : page.index('id="c1t6"')]
    for label, share in turn.scores.items():
        row = re.search(rf'<th scope="row">{label}((?:<td[^>]*>[^<]*)+)', block)
        assert row, label
        cells = [cell.strip() for cell in re.findall(r"<td[^>]*>([^<]*)", row[1])]
        own = turn.experts["text"][label]
        assert cells == [str(round(share * 100)), NONE, str(round(own * 100)), NONE]
    assert not re.search(r"\d\.\d{4,}", block)


def test_a_model_that_weighs_no_experts_shows_no_trust(page: str) -> None:
    unweighed = tuple(replace(turn, gate=dict.fromkeys(EXPERTS, 0.0)) for turn in sample())
    shown = analysis(replace(sample(), utterances=unweighed)).to_html()
    parsed = Page(shown)
    assert len(parsed.of_class("turn")) == len(unweighed)
    for trust in ("Trust", "trust<", 'class="gate"', "None"):
        assert trust in page or trust == "None"
        assert trust not in shown
    assert shown.count("Missing: <b>speech</b>") == 1


def test_summary_gives_shares_of_turns_and_of_talk_time(page: str) -> None:
    turns = sample().utterances
    joyful = [t for t in turns if t.emotion == "joy"]
    talk = sum(t.end - t.start for t in joyful)
    share = talk / sum(t.end - t.start for t in turns)
    table = page[page.index('<table class="summary"') :]
    row = re.search(r'<th scope="row"><i[^>]*></i>joy</th>(.*?)</tr>', table, re.S)
    assert row
    assert f"<td>{clock(talk)} <small>{share:.0%}</small></td>" in row[1]
    assert f"<td>{len(joyful)}</td>" in row[1]


def test_without_times_the_summary_gives_shares_of_turns() -> None:
    page = analysis(text_only(["Hi."] * 4, ("joy", "joy", "joy", "fear"))).to_html()
    table = page[page.index('<table class="summary"') :]
    assert re.findall(r"<td>(\d) <small>(\d+)%</small>", table) == [("3", "75"), ("1", "25")]
    assert "Talk time" not in table


def test_notes_are_marked_counted_explained_and_weigh_as_the_summary_says(page: str) -> None:
    turns = list(sample())
    turns[0] = replace(turns[0], notes=(CROSSTALK,))
    turns[2] = replace(turns[2], notes=(OTHER_LANGUAGE, "seen by a later version"), language="fr")
    noted = analysis(replace(sample(), utterances=tuple(turns))).to_html()
    rows = re.findall(r'<li class="turn.*?</li>', noted, re.S)
    marks = [re.findall(r'<small class="mark">(.*?)</small>', row) for row in rows]
    assert [i for i, own in enumerate(marks) if own] == [0, 2, 12]
    assert marks[0] == ["crosstalk"]
    assert marks[2] == ["fr not read", "seen by a later version"]
    assert marks[12] == ["no words"]
    texts = Page(noted).texts
    assert f"1 of 14 turns with crosstalk: {NOTE_MEANINGS[CROSSTALK]}." in texts
    assert f"1 of 14 turns without words: {NOTE_MEANINGS[NO_WORDS]}." in texts
    assert f"1 of 14 turns in a language not read: {NOTE_MEANINGS[OTHER_LANGUAGE]}." in texts
    assert "In the shares, crosstalk counts half: 1 turn." in texts
    shares = [
        f"{round(100 * each.share)}%"
        for each in summarize(replace(sample(), utterances=tuple(turns))).emotions
    ]
    table = noted[noted.index('<table class="summary"') : noted.index("</table>")]
    assert sorted(re.findall(r"<small>(.*?)</small>", table)) == sorted(shares)
    assert "crosstalk" not in re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)


def test_neighbours_of_one_emotion_have_a_row_that_only_the_script_shows() -> None:
    page = analysis(long(150)).to_html()
    rows = Page(page).of_class("run")
    assert rows
    assert all("hidden" in row for row in rows), "without the script the list is whole"
    assert [int(row["data-count"]) for row in rows] == [
        len(run.turns) for run in runs(long(150)) if len(run.turns) > 1
    ]
    for run in runs(long(150)):
        row = re.search(
            rf'<li class="run(?:(?!<li).)*</li>\s*<li class="turn[^>]*id="c1t{run.first + 1}"', page, re.S
        )
        assert bool(row) == (len(run.turns) > 1)
        if row:
            assert f"{clock(run.start)}{NONE}{clock(run.end)}" in row[0]
            assert f"{run.emotion} <small>{round(100 * run.confidence)}%</small>" in row[0]
            assert f"{len(run.turns)} turns" in row[0]


def test_many_turns_are_folded_until_they_are_unfolded() -> None:
    for count, folded in ((MANY_TURNS, False), (MANY_TURNS + 1, True)):
        assert ("data-folded" in Page(analysis(long(count)).to_html()).of_class("turns")[0]) == folded


def test_scores_of_very_many_turns_are_text_and_the_same_numbers() -> None:
    page = analysis(long(PLAIN_SCORES + 1)).to_html()
    assert "<table><tr>" not in page
    block = page[page.index('id="c1t5"') : page.index('id="c1t6"')]
    lines = re.search(r"<pre>(.*?)</pre>", block, re.S)[1].splitlines()
    assert lines[0].split() == ["%", "together", *EXPERTS]
    turn = long(5).utterances[4]
    for line, label in zip(lines[1:], turn.scores, strict=False):
        columns = (turn.scores, *(turn.experts[name] for name in EXPERTS))
        assert line.split() == [label, *(str(round(100 * column[label])) for column in columns)]
    assert lines[-1].split() == ["trust", *(str(round(100 * turn.gate[name])) for name in EXPERTS)]
    assert len({len(line) for line in lines}) == 1


def test_page_states_model_version_limits_and_notes() -> None:
    texts = Page(analysis(replace(sample(), notes=("Turn 3 was cut at a pause.",))).to_html()).texts
    assert {"mini", "Turn 3 was cut at a pause.", "Read with care."} <= set(texts)
    assert "· version 0.1.0" in texts
    assert '{"text": "MiniLM-L6", "speech": "Whisper tiny.en"}' in texts


@pytest.mark.parametrize("embed_audio", [False, True])
def test_page_reaches_nothing_outside_itself(embed_audio: bool) -> None:
    page = analysis(sample()).to_html(embed_audio=embed_audio)
    parsed = Page(page)
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r'src="data:[^"]*"', "", page).replace("// ", ""))
    assert [a["src"][:22] for _, a in parsed.elements if "src" in a] == (
        ["data:audio/ogg;base64,"] if embed_audio else []
    )
    assert all(a["href"].startswith("#c1") for _, a in parsed.elements if "href" in a)
    assert all(not re.search(r"url\((?!#)", text) for text in parsed.texts)


def test_policy_allows_exactly_the_pages_own_style_and_script(page: str) -> None:
    policy = next(m["content"] for m in Page(page).tags("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    # the policy would silently drop these
    assert not any(name.startswith("on") or name == "style" for _, a in Page(page).elements for name in a)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_comes_from_outside_is_text(hostile: str) -> None:
    labels = LabelSet((hostile, "neutral"))
    turn = judged(1, hostile, hostile, labels=labels)
    conversation = ConversationAnalysis(hostile, f"calls/{hostile}", None, (turn,), (hostile,))
    result = analysis(conversation, errors=(FailedInput(hostile, hostile),), labels=labels)
    page = replace(result, model={"name": hostile, hostile: hostile}, version=hostile).to_html()
    parsed = Page(page)
    assert len(parsed.tags("script")) == len(parsed.tags("style")) == 1
    assert parsed.tags("img") == []
    assert "49" not in parsed.texts
    seen = [text for text in parsed.texts if text == hostile]
    # title, note, error and its source, the model's name, key and values, label, text
    assert len(seen) >= 8


@pytest.mark.parametrize("text", ["שלום, מה שלומך?", "🎉🥲 great", "x" * 5000, " ".join(["long"] * 1000)])
def test_any_text_is_shown_whole_and_finds_its_own_direction(text: str) -> None:
    page = analysis(text_only([text])).to_html()
    assert f'<p class="text" dir="auto">{text}</p>' in page


def test_text_alone_is_laid_out_by_turn() -> None:
    page = analysis(text_only(["Hello.", "Who is it?", "Me."])).to_html()
    assert "Timeline by turn" in page
    assert "BaselineInput time" not in page
    assert "data-start" not in page
    assert [a["x"] for a in Page(page).tags("rect") if a.get("rx") and a.get("x")] == [
        "0.00%",
        "33.33%",
        "66.67%",
    ]


def test_no_turns_no_conversations_and_errors_are_said() -> None:
    silence = ConversationAnalysis("silence", "silence.wav", 3600.0, (), ("No speech was found.",))
    failed = (FailedInput("broken.mp4", "broken.mp4: cut off; copy it again"), FailedInput("b", "c"))
    texts = Page(analysis(silence, errors=failed).to_html()).texts
    assert "No turns were found in this conversation." in texts
    assert "No speech was found." in texts
    assert "2 inputs could not be analysed" in texts
    assert "broken.mp4: cut off; copy it again" in texts
    assert "There is no conversation in this analysis." in Page(analysis(errors=failed).to_html()).texts


def test_several_conversations_are_listed_and_their_ids_do_not_meet() -> None:
    page = analysis(sample(), text_only(["Hi.", "Bye."]), text_only(["Hm."])).to_html()
    ids = [a["id"] for _, a in Page(page).elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {"c1t14", "c2t2", "c3t1"} <= set(ids)
    assert all(f'<li><a href="#c{i}">' in page for i in (1, 2, 3))


def test_a_label_the_model_does_not_list_still_has_a_lane_and_a_colour() -> None:
    odd = replace(judged(1, "joy", "Well."), emotion="boredom", scores={"boredom": 1.0})
    page = analysis(ConversationAnalysis("odd", None, None, (odd,))).to_html()
    assert ".e7 { --c: #b07d4b; }" in page
    assert '<li class="e7">boredom</li>' in page
    assert all(value in page for value in COLOURS.values())


def test_folders_of_the_author_stay_private() -> None:
    page = analysis(replace(sample(), source="/home/someone/secret clinic/call.wav")).to_html()
    assert "call.wav" in page
    assert "secret clinic" not in page


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "No player: no recording of this conversation is known."),
        ("secret/call.wav", "No player: call.wav is not a recording that could be read."),
        (
            str(SAMPLES / "conversation.srt"),
            "No player: conversation.srt is not a recording that could be read.",
        ),
    ],
)
def test_a_conversation_without_a_recording_has_a_note_and_the_others_their_player(source, says) -> None:
    silent = replace(sample(), source=source)
    page = analysis(silent, sample()).to_html(embed_audio=True)
    parsed = Page(page)
    assert len(parsed.tags("audio")) == 1
    assert page.index(says) < page.index("<audio")
    assert parsed.texts.count(says) == 1
    assert "secret" not in page
    assert says not in analysis(silent).to_html()


def test_a_long_recording_makes_a_page_of_reasonable_size() -> None:
    assert len(analysis(long(500)).to_html()) < 500 * 1700


def test_the_length_is_the_one_of_the_table() -> None:
    assert "0:57" in Page(analysis(replace(long(2), duration=57.6)).to_html()).texts


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_contrast_with_every_ground_they_stand_on(theme: int) -> None:
    css = files("mister_e.analysis.html").joinpath("page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", re.findall(r":root \{(.*?)\}", css, re.S)[theme]))
    for words in ("ink", "soft", "accent", "warn"):
        for ground in ("page", "card", "lane", "select"):
            assert _contrast(colours[words], colours[ground]) >= 4.5, (words, ground)


def _contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
