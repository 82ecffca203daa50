"""The page of an analysis: one HTML file that opens anywhere, offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment

from mister_e.analysis.html.assets import asset, digest, environment, palette
from mister_e.analysis.html.view import about, label_order, view
from mister_e.analysis.turns import ConversationAnalysis, FailedInput

__all__ = ["render"]


def render(
    conversations: Sequence[ConversationAnalysis],
    known_labels: Sequence[str],
    model: Mapping[str, Any],
    errors: Sequence[FailedInput],
    *,
    version: str,
    uncertain_below: float | None,
    embed_audio: bool = False,
) -> str:
    """Self-contained HTML page of an analysis.

    It reads without JavaScript, loads nothing from anywhere, and forbids itself to (content security
    policy): only its own style and script, named by their hashes, and embedded audio may take part.

    :param conversations: what to show.
    :param known_labels: the emotions that the model can tell.
    :param model: identity of the model.
    :param errors: the inputs that could not be analysed.
    :param version: of mister-e.
    :param uncertain_below: the confidence, 0 to 1, below which turns are uncertain; None = unknown.
    :param embed_audio: put every recording into the page, so that a click on a turn plays it;
        a conversation without one that can be read has no player, and a note says so.
    :return: the page.
    """
    labels = label_order(known_labels, conversations)
    style = asset(__name__, "page.css") + palette(labels)
    script = asset(__name__, "list.js") + asset(__name__, "page.js")
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
            version=version,
            model=about(model),
            conversations=[
                view(
                    conversation,
                    number,
                    labels,
                    uncertain_below=uncertain_below,
                    embed_audio=embed_audio,
                )
                for number, conversation in enumerate(conversations, start=1)
            ],
            failed=errors,
        )
    )


@cache
def _environment() -> Environment:
    """Templates of this folder."""
    return environment(__name__)
