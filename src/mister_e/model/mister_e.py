"""The mixture: a speech, a text and a fusion expert, weighed turn by turn by a gate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mister_e.config import MixtureConfig
from mister_e.errors import InputError
from mister_e.model.context import ContextNetwork
from mister_e.model.fusion import FusionExpert
from mister_e.model.gate import Gate, expert_presence
from mister_e.model.packing import Packing


@dataclass(frozen=True)
class MixtureOutput:
    """What the mixture says of a batch; zeros at pads and wherever an expert is absent.

    :param logits: of the mixture `[B, T, C]`.
    :param experts: logits of each expert `[B, T, 3, C]`, in the order of `mister_e.analysis.EXPERTS`.
    :param gate: weight of each expert `[B, T, 3]`.
    :param speech_hidden: representations of the speech expert `[B, T, H]`.
    :param text_hidden: representations of the text expert `[B, T, H]`.
    """

    logits: Tensor
    experts: Tensor
    gate: Tensor
    speech_hidden: Tensor
    text_hidden: Tensor


class MisterE(nn.Module):
    """Emotions of the turns of conversations, from embeddings of their speech and text.

    Nothing here sees who speaks. A turn that lacks a modality carries a learned embedding in its
    place, which the other turns of its conversation may look at; its experts without input weigh 0.
    """

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.missing_speech = nn.Parameter(0.02 * torch.randn(config.speech_dim))
        self.missing_text = nn.Parameter(0.02 * torch.randn(config.text_dim))
        self.speech_expert = ContextNetwork(config, config.speech_dim)
        self.text_expert = ContextNetwork(config, config.text_dim)
        self.fusion_expert = FusionExpert(config)
        self.gate = Gate(config)

    def forward(
        self, text: Tensor, speech: Tensor, *, mask: Tensor, has_text: Tensor, has_speech: Tensor
    ) -> MixtureOutput:
        """Judge every real turn; alone or batched, however padded, the result is the same.

        :param text: embeddings `[B, T, Dt]`; any value may stand at pads and where text is missing.
        :param speech: embeddings `[B, T, Ds]`, likewise.
        :param mask: bool `[B, T]`, True = a real turn; pads come last.
        :param has_text: bool `[B, T]`, False = the turn has no text.
        :param has_speech: bool `[B, T]`, False = the turn has no speech.
        :return: logits in float32 at least.
        :raises ValueError: a tensor has the wrong shape, or the mask a pad before a real turn.
        :raises InputError: a conversation is empty, or a real turn has neither text nor speech.
        """
        packing = Packing.of(mask)
        self._check_shapes(text, speech, mask, has_text, has_speech)
        has_text, has_speech = packing.pack(has_text), packing.pack(has_speech)
        present = expert_presence(has_speech, has_text)
        _check_presence(present, packing)

        # `where` and not a product: no value at an absent input, not even NaN, gets through or back
        text = torch.where(has_text[:, None], packing.pack(text), self.missing_text)
        speech = torch.where(has_speech[:, None], packing.pack(speech), self.missing_speech)
        experts, speech_hidden, text_hidden = self._consult(speech, text, present, packing)
        gate = self.gate(experts, present)
        logits = (gate.unsqueeze(-1) * experts).sum(dim=-2)
        return MixtureOutput(*map(packing.unpack, (logits, experts, gate, speech_hidden, text_hidden)))

    def _consult(
        self, speech: Tensor, text: Tensor, present: Tensor, packing: Packing
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ask the three experts.

        :return: logits `[N, 3, C]` in float32 at least, speech and text representations `[N, H]`;
            zeros where an expert is absent.
        """
        # In training every expert runs on every batch, so that each of its parameters gets a gradient
        # (several processes wait for it); otherwise one without input in the whole batch costs nothing.
        asked = [True] * 3 if self.training else present.any(dim=0).tolist()
        nothing = speech.new_zeros(len(speech), self.config.classes)
        unheard = speech.new_zeros(len(speech), self.config.hidden)
        by_speech, heard = self.speech_expert(speech, packing) if asked[0] else (nothing, unheard)
        by_text, read = self.text_expert(text, packing) if asked[1] else (nothing, unheard)
        by_both = self.fusion_expert(speech, text, packing) if asked[2] else nothing

        experts = torch.stack([by_speech, by_text, by_both], dim=1)
        experts = experts.to(torch.promote_types(experts.dtype, torch.float32))
        experts = torch.where(present.unsqueeze(-1), experts, 0.0)
        heard = torch.where(present[:, :1], heard, 0.0)
        read = torch.where(present[:, 1:2], read, 0.0)
        return experts, heard, read

    def _check_shapes(
        self, text: Tensor, speech: Tensor, mask: Tensor, has_text: Tensor, has_speech: Tensor
    ) -> None:
        batch = tuple(mask.shape)
        expected = {
            "text": (text, (*batch, self.config.text_dim)),
            "speech": (speech, (*batch, self.config.speech_dim)),
            "has_text": (has_text, batch),
            "has_speech": (has_speech, batch),
        }
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")
        for name, flags in (("has_text", has_text), ("has_speech", has_speech)):
            if flags.dtype != torch.bool:
                raise ValueError(f"{name} is bool, got {flags.dtype}")


def _check_presence(present: Tensor, packing: Packing) -> None:
    """Refuse a real turn that no expert can judge."""
    silent = (~present.any(dim=-1)).nonzero()
    if len(silent):
        conversation, turn = packing.place(int(silent[0]))
        raise InputError(
            f"conversation {conversation} of the batch, turn {turn}: neither text nor speech; "
            "leave the turn out or give it one of them"
        )
