"""The network of the paper: speech, text and fusion experts, and the gate that combines them."""

from mister_e.model.context import ContextNetwork
from mister_e.model.fusion import FusionExpert
from mister_e.model.gate import Gate, expert_presence
from mister_e.model.inputs import Inputs
from mister_e.model.mixture import MisterE, MixtureOutput
from mister_e.model.packing import Packing

__all__ = [
    "ContextNetwork",
    "FusionExpert",
    "Gate",
    "Inputs",
    "MisterE",
    "MixtureOutput",
    "Packing",
    "expert_presence",
]
