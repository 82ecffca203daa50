from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mister_e.corpora.base import Protocol
from mister_e.errors import MisterEError
from mister_e.evaluation.ensemble import ensemble
from mister_e.evaluation.html import render
from mister_e.evaluation.plots import save_confusion, save_reliability
from mister_e.evaluation.protocol import ScoreProtocol
from mister_e.evaluation.scorecard import score
from mister_e.evaluation.summary import Evaluation
from mister_e.labels import MELD_EMOTIONS
from mister_e.metrics.summary import mean_std_text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</style><script>alert(1)</script>"
VOID = {"meta", "rect", "line", "circle", "polyline", "br", "hr", "img"}


class Tags(HTMLParser):
    """Every element with its attributes; an element that is not closed is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def evaluation(made, *seeds, split="test", times=1, **options):
    protocol = Protocol("MELD-7", "meld", MELD_EMOTIONS, "Seven emotions, the official splits.")
    encoders = {"text": {"name": "words", "kind": "text", "identity": "0f" * 32, "dim": 256}}
    rules = ScoreProtocol(protocol, split, "full", seeds, "ab" * 32, encoders)
    predictions = [made(seed=seed, **options) for seed in seeds]
    mean = ensemble(predictions, [1.0] * len(seeds)) if len(seeds) > 1 else None
    return Evaluation(
        rules,
        {"recipe": "mini", "sizes": {"hidden": 8, "kernels": [1, 3]}},
        {seed: score(own, MELD_EMOTIONS) for seed, own in zip(seeds, predictions, strict=True)},
        None if mean is None else score(mean, MELD_EMOTIONS),
        times if split == "test" else None,
    )


def test_mean_and_deviation_over_seeds(made):
    evaluated = evaluation(made, 0, 1, 2)
    values = [card.scores["weighted_f1"] for card in evaluated.cards.values()]
    summary = evaluated.to_json()["summary"]
    assert summary["scores"]["weighted_f1"]["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert summary["scores"]["weighted_f1"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    recalls = [card.to_json()["classes"][3]["recall"] for card in evaluated.cards.values()]
    assert summary["classes"]["anger"]["recall"]["mean"] == pytest.approx(np.mean(recalls), abs=1e-3)
    assert evaluated.confusion.sum() == 3 * evaluated.first.turns


def test_the_page_holds_every_number_and_its_rules(made):
    evaluated = evaluation(made, 0, 1, times=3)
    page = render(evaluated)
    text = re.sub(r"<[^>]+>", " ", page)
    assert mean_std_text(evaluated.scores["weighted_f1"]) in text
    for card in [*evaluated.cards.values(), evaluated.ensemble]:
        low, high = card.intervals["weighted_f1"]
        assert f"{low:.1f} – {high:.1f}" in text
    for own in evaluated.classes.values():
        assert mean_std_text(own["f1"]) in text
    for own in evaluated.experts.values():
        assert mean_std_text(own["macro_f1"]) in text
    for count in evaluated.confusion.flat:
        assert f"<small>{count:,}</small>" in page
    assert "scored 3 times" in text
    assert "Seven emotions, the official splits." in text
    assert "hidden 8 · kernels [1, 3]" in text
    assert "whole conversations" in text


def test_the_page_is_whole_names_its_style_and_loads_nothing(made):
    page = render(evaluation(made, 0, 1))
    elements = Tags(page).elements
    assert {tag for tag, _ in elements} & {"script", "link", "img", "iframe", "object"} == set()
    assert not any(name in ("src", "style", "href") for _, attrs in elements for name in attrs)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page.replace("&#39;", "'")
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = {attrs["aria-labelledby"] for _, attrs in elements if "aria-labelledby" in attrs}
    assert named <= set(ids)


def test_parts_that_a_model_lacks_are_left_out(made):
    page = render(evaluation(made, 5, split="validation", experts=False))
    Tags(page)
    for heading in ("Experts", "Gate weights", "Kinds of conversation", "ensemble", "±", "this run"):
        assert heading not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "so it looks better here than elsewhere" in page
    parts = render(evaluation(made, 5, ids="Ses05F_impro{}"))
    assert "improvised" in parts


def test_whatever_comes_from_outside_is_text(made):
    evaluated = evaluation(made, 0)
    protocol = replace(evaluated.protocol.corpus, name=HOSTILE, description=HOSTILE)
    hostile = replace(
        evaluated, protocol=replace(evaluated.protocol, corpus=protocol), model={HOSTILE: {HOSTILE: HOSTILE}}
    )
    page = render(hostile)
    assert "<script" not in page
    assert page.count("</style>") == 1


def test_pictures_are_the_same_for_the_same_numbers(made, tmp_path):
    evaluated = evaluation(made, 0)
    for name in ("a", "b"):
        save_confusion(tmp_path / f"{name}c.png", evaluated.confusion, evaluated.first.labels.names)
        save_reliability(tmp_path / f"{name}r.png", *evaluated.reliability)
    for kind in "cr":
        first = (tmp_path / f"a{kind}.png").read_bytes()
        assert first[:8] == b"\x89PNG\r\n\x1a\n"
        assert first == (tmp_path / f"b{kind}.png").read_bytes()


def test_without_matplotlib_the_extra_is_named(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    evaluated = evaluation(made, 0)
    with pytest.raises(MisterEError, match=re.escape("pip install 'mister-e[train]'")):
        save_reliability(tmp_path / "r.png", *evaluated.reliability)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH (Debian: apt-get install chromium)")
def test_in_a_browser_it_opens_offline_and_a_phone_does_not_scroll_sideways(made, tmp_path):
    from playwright.sync_api import sync_playwright

    path = tmp_path / "page.html"
    path.write_text(render(evaluation(made, 0, 1)), encoding="utf-8")
    grounds = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 390, "height": 844}, color_scheme=scheme, offline=True
            )
            page = context.new_page()
            complaints: list[str] = []
            page.on("console", lambda message, seen=complaints: seen.append(message.text))
            page.goto(path.as_uri())
            assert complaints == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            for box in page.locator(".card").all():
                assert box.bounding_box()["height"] > 40
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert grounds["light"] != grounds["dark"]


def test_names_of_classes_are_no_formulas(tmp_path):
    pytest.importorskip("matplotlib")
    save_confusion(tmp_path / "c.png", np.eye(2, dtype=np.int64), ["$\\frac$ a", "b$$"])
    assert (tmp_path / "c.png").stat().st_size > 1000
