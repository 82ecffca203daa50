"""mister-e: the emotion of every turn of a conversation, and which expert was trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names
from mister_e.version import __version__

if TYPE_CHECKING:
    from mister_e.analysis.result import Analysis
    from mister_e.conversation import Conversation, Utterance
    from mister_e.pipeline import Pipeline

__all__ = ["Analysis", "Conversation", "Pipeline", "Utterance", "__version__"]

__getattr__ = lazy_names(
    __name__,
    {
        "Analysis": "analysis.result",
        "Conversation": "conversation",
        "Pipeline": "pipeline",
        "Utterance": "conversation",
    },
)
