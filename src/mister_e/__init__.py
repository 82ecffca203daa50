"""mister-e: the emotion of every turn of a conversation, and which expert was trusted."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mister_e.lazy import lazy_names
from mister_e.version import __version__

if TYPE_CHECKING:
    from mister_e.analysis.result import Analysis
    from mister_e.conversation import Conversation, Utterance
    from mister_e.pipeline import Pipeline


def _switch_telemetry_off() -> None:
    """Keep native and other libraries from reporting to their vendors.

    ONNX Runtime decides once, as it is imported: without the variable it then writes a device id and a
    database into the user's cache and uploads events, and no later call stops the upload. Importing any part
    of this package runs this first, in every process.
    """
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    # a program that imported it before has made that choice; what happens here adds no events to it
    if (runtime := sys.modules.get("onnxruntime")) is not None:
        runtime.disable_telemetry_events()


_switch_telemetry_off()

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
