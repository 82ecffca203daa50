"""The report: an analysis as one page that opens anywhere, offline."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment

from mister_e.analysis.html.assets import asset, digest, environment, palette
from mister_e.analysis.html.view import about, label_order, view
from mister_e.analysis.result import Analysis

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
    style = asset(__name__, "page.css") + palette(labels)
    script = asset(__name__, "page.js")
    policy = (
        f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}';"
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
    """Templates of this folder."""
    return environment(__name__)
