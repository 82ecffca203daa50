"""The three experts and the two modalities, by name and in their fixed order."""

from __future__ import annotations

from typing import Literal

#: One expert of the mixture.
Expert = Literal["speech", "text", "fusion"]
#: One kind of input of a turn.
Modality = Literal["text", "speech"]

#: All experts, in the order of every `[..., 3]` axis.
EXPERTS: tuple[Expert, ...] = ("speech", "text", "fusion")
#: All modalities, in the order of every `[..., 2]` axis.
MODALITIES: tuple[Modality, ...] = ("text", "speech")
