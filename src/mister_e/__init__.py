"""mister-e: the emotion of every turn of a conversation, and which expert was trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mister_e.analysis import Analysis
from mister_e.conversation import Conversation, Utterance

if TYPE_CHECKING:
    from mister_e.pipeline import Pipeline

__version__ = "0.1.0"

__all__ = ["Analysis", "Conversation", "Pipeline", "Utterance", "__version__"]


def __getattr__(name: str) -> Any:
    # torch comes with the pipeline: `import mister_e` stays quick without it
    if name == "Pipeline":
        from mister_e.pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
