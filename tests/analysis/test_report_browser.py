"""The report in a real browser, offline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from analyses import analysis, doubtful, long, sample, text_only

from mister_e.analysis.runs import runs
from mister_e.analysis.turns import ConversationAnalysis, FailedInput
from mister_e.conversation import CROSSTALK

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium on the PATH (Debian: apt-get install chromium)", allow_module_level=True)

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

pytestmark = pytest.mark.slow

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1100, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        yield chromium
        chromium.close()


def many() -> ConversationAnalysis:
    """A conversation of 300 turns with a word each: folded, and with bars that sum up turns."""
    turns = [replace(turn, text=f"Word{i}, so what?") for i, turn in enumerate(long(300), start=1)]
    turns[4] = replace(turns[4], notes=(CROSSTALK,))
    turns[9] = replace(turns[9], notes=(CROSSTALK,), uncertain=True)
    return replace(long(300), utterances=tuple(turns))


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Address of a page by its name."""
    odd = text_only(["</script><script>console.error('no')</script>", "שלום, מה שלומך?", "x" * 5000])
    pages = {
        "plain": analysis(sample()).to_html(),
        "doubtful": doubtful().to_html(),
        "many": analysis(many()).to_html(),
        "heard": analysis(sample()).to_html(embed_audio=True),
        "several": analysis(
            sample(), odd, errors=(FailedInput("a" * 300, "too long a name; shorten it"),)
        ).to_html(),
    }
    folder = tmp_path_factory.mktemp("reports")
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


class Visit:
    """A page, with what it complained about and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(viewport=DESK, offline=True)
    context.set_default_timeout(120_000)
    yield Visit(context.new_page())
    context.close()


def pixels(picture: Path) -> np.ndarray:
    """Colour of every pixel as one number, `[height, width]`."""
    with av.open(str(picture)) as container:
        red, green, blue = np.moveaxis(next(container.decode(video=0)).to_ndarray(format="rgb24"), -1, 0)
    return red.astype(int) << 16 | green.astype(int) << 8 | blue


@pytest.mark.parametrize("name", ["plain", "doubtful", "many", "heard", "several"])
def test_opens_offline_without_complaints_or_requests(
    visit: Visit, reports: dict[str, str], name: str, tmp_path: Path
) -> None:
    visit.page.goto(reports[name])
    visit.page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [reports[name]]
    assert visit.page.locator(".turn").first.is_visible()
    assert len(np.unique(pixels(tmp_path / f"{name}.png"))) > 100, "a blank page has one colour"


def test_a_turn_chosen_on_the_timeline_or_in_the_list_is_chosen_in_both(
    visit: Visit, reports: dict[str, str]
) -> None:
    page = visit.page
    page.goto(reports["plain"])
    chosen = "[...document.querySelectorAll('[aria-current]')].map(e => e.id || e.getAttribute('href'))"
    page.locator(".timeline a").nth(9).click()
    assert page.evaluate(chosen) == ["#c1t10", "c1t10"]
    page.locator(".turn .text").nth(2).click()
    assert page.evaluate(chosen) == ["#c1t3", "c1t3"]
    page.locator(".turn .at").nth(4).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate(chosen) == ["#c1t6", "c1t6"]
    page.locator(".timeline a").nth(5).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate(chosen) == ["#c1t7", "c1t7"]
    page.locator(".turn").nth(1).hover()
    assert "hot" in (page.locator(".timeline a").nth(1).get_attribute("class") or "")
    assert visit.complaints == []


def test_a_click_plays_the_turn_and_stops_at_its_end(visit: Visit, reports: dict[str, str]) -> None:
    page = visit.page
    page.goto(reports["heard"])
    turn = sample().utterances[4]
    page.locator(".turn .at").nth(4).click()
    # the page's policy forbids wait_for_function, which evaluates strings
    stopped = page.evaluate(
        "() => new Promise(done => { const audio = document.querySelector('audio');"
        " const tell = () => done(audio.currentTime);"
        " audio.paused ? tell() : audio.addEventListener('pause', tell); })"
    )
    # a busy machine may stop late, but long before the recording's end
    assert turn.end - 0.1 <= stopped < turn.end + 20
    assert page.locator(".turn[aria-current]").get_attribute("id") == "c1t5"
    assert visit.complaints == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_word_uncertain_is_seen_beside_the_emotion_and_the_bar_is_hollow(
    visit: Visit, reports: dict[str, str], size: dict[str, int]
) -> None:
    page = visit.page
    page.set_viewport_size(size)
    page.goto(reports["doubtful"])
    words = page.locator(".turn").get_by_text("uncertain", exact=True)
    assert [word.is_visible() for word in words.all()] == [True, True]
    assert page.locator(".turn").nth(9).locator(".feel").inner_text().split() == [
        "anger", "?", "31%", "uncertain",
    ]  # fmt: skip
    assert page.get_by_text("2 of 14 turns uncertain").is_visible()
    bars = page.locator(".timeline a > rect")
    dashed = "bars => bars.map(bar => getComputedStyle(bar).strokeDasharray !== 'none')"
    assert [i for i, is_dashed in enumerate(bars.evaluate_all(dashed), start=1) if is_dashed] == [4, 10]
    letter = page.locator(".timeline a").nth(9).locator("text").bounding_box()
    bar = bars.nth(9).bounding_box()
    assert bar["x"] <= letter["x"] + letter["width"] / 2 <= bar["x"] + bar["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert visit.complaints == []


def test_scores_open_and_do_not_choose_the_turn(visit: Visit, reports: dict[str, str]) -> None:
    page = visit.page
    page.goto(reports["plain"])
    table = page.locator(".turn details table").nth(1)
    assert not table.is_visible()
    page.locator(".turn summary").nth(1).click()
    assert table.is_visible()
    assert page.locator("[aria-current]").count() == 0


@pytest.mark.parametrize("name", ["heard", "several", "many"])
def test_a_phone_does_not_scroll_sideways(
    visit: Visit, reports: dict[str, str], name: str, tmp_path: Path
) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(reports[name])
    page.locator(".turn:not([hidden]) summary").first.click()
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".turn details[open] table").first.bounding_box()["width"] <= PHONE["width"] - 40


def test_dark_mode_changes_the_ground_and_the_words(
    visit: Visit, reports: dict[str, str], tmp_path: Path
) -> None:
    page = visit.page
    page.goto(reports["plain"])
    seen = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=tmp_path / f"{scheme}.png")
        seen[scheme] = page.evaluate(
            "['background-color', 'color'].map(p =>"
            " Math.max(...getComputedStyle(document.body).getPropertyValue(p).match(/\\d+/g)))"
        )
    assert seen["light"][0] > 200 > seen["light"][1]
    assert seen["dark"][0] < 60 < 200 < seen["dark"][1]
    light, dark = (pixels(tmp_path / f"{scheme}.png") for scheme in seen)
    assert len(np.unique(light)) > 100 < len(np.unique(dark))
    # bars of emotions keep their colour; the ground and the words do not
    assert np.mean(light != dark) > 0.8


def shown(page: Page) -> list[int]:
    """Numbers of the turns that are seen."""
    ids = page.locator(".turn:not([hidden])").evaluate_all("turns => turns.map(turn => turn.id)")
    return [int(name.removeprefix("c1t")) for name in ids]


ALONE = [run.first + 1 for run in runs(many()) if len(run.turns) == 1]


def test_many_turns_open_folded_and_unfold_by_click_by_key_and_all_at_once(
    visit: Visit, reports: dict[str, str]
) -> None:
    page = visit.page
    page.goto(reports["many"])
    assert shown(page) == ALONE
    rows = page.locator(".run button")
    assert rows.count() == sum(len(run.turns) > 1 for run in runs(many()))
    rows.first.click()
    (first, *_) = [run for run in runs(many()) if len(run.turns) > 1]
    own = [first.first + 1 + k for k in range(len(first.turns))]
    assert shown(page) == sorted({*ALONE, *own})
    assert rows.first.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert shown(page) == ALONE
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    assert shown(page) == sorted({*ALONE, *own})
    fold = page.get_by_role("button", name="Fold neighbours of one emotion")
    fold.click()
    assert shown(page) == list(range(1, 301))
    assert not rows.first.is_visible()
    fold.click()
    assert shown(page) == ALONE
    assert visit.complaints == []


def test_few_turns_open_whole_and_can_be_folded(visit: Visit, reports: dict[str, str]) -> None:
    page = visit.page
    page.goto(reports["plain"])
    assert shown(page) == list(range(1, 15))
    page.get_by_role("button", name="Fold neighbours of one emotion").click()
    assert shown(page) == [run.first + 1 for run in runs(sample()) if len(run.turns) == 1]


def test_words_emotions_and_marks_choose_turns_and_dim_the_other_bars(
    visit: Visit, reports: dict[str, str]
) -> None:
    page = visit.page
    page.goto(reports["many"])
    search = page.get_by_role("searchbox")
    search.fill("WORD29 so")
    assert shown(page) == [29, *range(290, 300)]
    assert page.get_by_role("status").inner_text() == "11 of 300 turns"
    assert 0 < page.locator(".timeline a:not(.dim)").count() <= 2 * 11
    search.fill("anger")
    angry = [i for i, turn in enumerate(many(), start=1) if turn.emotion == "anger"]
    assert shown(page) == angry
    search.press("Escape")
    assert shown(page) == ALONE
    assert page.locator(".timeline a.dim").count() == 0
    anger, fear, crosstalk = (
        page.locator(".tools").get_by_role("button", name=name) for name in ("anger", "fear", "crosstalk 2")
    )
    anger.click()
    assert shown(page) == angry
    crosstalk.click()
    assert shown(page) == [10]
    anger.click()
    assert shown(page) == [5, 10]
    fear.focus()
    page.keyboard.press("Space")
    assert shown(page) == []
    assert page.get_by_role("status").inner_text() == "0 of 300 turns"
    assert visit.complaints == []


def test_a_turn_that_is_asked_for_is_unfolded_or_ends_the_search(
    visit: Visit, reports: dict[str, str]
) -> None:
    page = visit.page
    page.goto(reports["many"])
    hidden = next(run for run in runs(many()) if len(run.turns) > 1).first + 2
    assert hidden not in shown(page)
    page.goto(f"{reports['many']}#c1t{hidden}")
    assert hidden in shown(page)
    assert page.locator(f"#c1t{hidden}").get_attribute("aria-current") == "true"
    page.get_by_role("searchbox").fill("word300")
    assert shown(page) == [300]
    page.locator(".timeline a").first.click()
    assert 1 in shown(page)
    assert page.get_by_role("searchbox").input_value() == ""
    assert page.locator(".turn[aria-current]").get_attribute("id") == "c1t1"


def test_bars_of_many_turns_are_wide_enough_to_see_on_a_phone(visit: Visit, reports: dict[str, str]) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(reports["many"])
    sizes = page.locator(".timeline a > rect").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert min(width for width, _ in sizes) >= 1.3
    assert min(height for _, height in sizes) >= 3
    page.locator(".timeline a").nth(40).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".timeline [aria-current]").count() == 1
    assert page.locator(".turn[aria-current]:not([hidden])").count() == 1


def test_many_turns_read_without_javascript(browser: Browser, reports: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True, viewport=DESK)
    page = context.new_page()
    page.goto(reports["many"])
    assert page.locator(".turn:visible").count() == 300
    assert page.locator(".run:visible, .tools:visible").count() == 0
    context.close()


def test_reads_without_javascript(browser: Browser, reports: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True, viewport=DESK)
    page = context.new_page()
    page.goto(reports["plain"])
    page.locator(".timeline a").nth(3).click()
    assert page.url.endswith("#c1t4")
    page.locator(".turn summary").nth(3).click()
    assert page.locator(".turn details table").nth(3).is_visible()
    context.close()
