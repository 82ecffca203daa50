"""The report in a real browser, offline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from analyses import analysis, doubtful, sample, text_only

from mister_e.analysis.turns import FailedInput

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


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Address of a page by its name."""
    odd = text_only(["</script><script>console.error('no')</script>", "שלום, מה שלומך?", "x" * 5000])
    pages = {
        "plain": analysis(sample()).to_html(),
        "doubtful": doubtful().to_html(),
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


@pytest.mark.parametrize("name", ["plain", "doubtful", "heard", "several"])
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


@pytest.mark.parametrize("name", ["heard", "several"])
def test_a_phone_does_not_scroll_sideways(
    visit: Visit, reports: dict[str, str], name: str, tmp_path: Path
) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(reports[name])
    page.locator(".turn summary").first.click()
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".turn details table").first.bounding_box()["width"] <= PHONE["width"] - 40


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


def test_reads_without_javascript(browser: Browser, reports: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True, viewport=DESK)
    page = context.new_page()
    page.goto(reports["plain"])
    page.locator(".timeline a").nth(3).click()
    assert page.url.endswith("#c1t4")
    page.locator(".turn summary").nth(3).click()
    assert page.locator(".turn details table").nth(3).is_visible()
    context.close()
