"""mister-e: the emotion of every turn of a conversation, and which expert was trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mister_e.analysis import Analysis
    from mister_e.conversation import Conversation, Utterance
    from mister_e.pipeline import Pipeline

__version__ = "0.1.0"

__all__ = ["Analysis", "Conversation", "Pipeline", "Utterance", "__version__"]

#: Where each public name lives: imported when first asked for, as torch and numpy take their time.
_HOMES = {
    "Analysis": "analysis",
    "Conversation": "conversation",
    "Pipeline": "pipeline",
    "Utterance": "conversation",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mister_e.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
