"""The result of an analysis, and every format of it."""

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis

__all__ = ["Analysis", "ConversationAnalysis", "FailedInput", "TurnAnalysis"]
