"""The report: an analysis as one page that opens anywhere, offline."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from mister_e.analysis.html.view import about, label_order, view
from mister_e.analysis.result import Analysis
from mister_e.labels import colour

__all__ = ["render"]


def render(analysis: Analysis, *, embed_audio: bool = False) -> str:
    """Self-contained HTML page of an analysis.

    It reads without JavaScript, loads nothing from anywhere, and forbids itself to (content security
    policy): only its own style and script, named by their hashes, and embedded audio may take part.

    :param analysis: the result to show.
    :param embed_audio: put every recording into the page, so that a click on a turn plays it;
        a conversation without one that can be read has no player, and a note says so.
    :return: the page.
    """
    labels = label_order(analysis)
    style = _asset("page.css") + _palette(labels)
    script = _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}';"
        " media-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("page.html")
        .render(
            policy=policy,
            style=style,
            script=script,
            version=analysis.version,
            model=about(analysis),
            conversations=[
                view(
                    conversation,
                    number,
                    labels,
                    uncertain_below=analysis.uncertain_below,
                    embed_audio=embed_audio,
                )
                for number, conversation in enumerate(analysis.conversations, start=1)
            ],
            failed=analysis.errors,
        )
    )


@cache
def _environment() -> Environment:
    """Templates of this folder; every value is escaped, a misspelt one is an error."""
    return Environment(
        loader=PackageLoader("mister_e.analysis.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    # A browser hashes what it parsed, and it parses CRLF as LF.
    return files("mister_e.analysis.html").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _palette(labels: tuple[str, ...]) -> str:
    """Style rules that give class `e<i>` the colour of label `i`."""
    return "".join(f".e{i} {{ --c: {colour(label)}; }}\n" for i, label in enumerate(labels))


def _digest(text: str) -> str:
    """Source expression of a content security policy for an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
