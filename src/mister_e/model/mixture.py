"""The mixture: a speech, a text and a fusion expert, weighed turn by turn by a gate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mister_e.errors import InputError
from mister_e.experts import EXPERTS
from mister_e.model.config import MixtureConfig
from mister_e.model.context import ContextNetwork, read_together
from mister_e.model.fusion import FusionExpert
from mister_e.model.gate import Gate, equal_weights, expert_presence, majority_weights
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing
from mister_e.model.windows import Window, read_in_windows


@dataclass(frozen=True)
class MixtureOutput:
    """What the mixture says of a batch; zeros at pads and wherever an expert is absent.

    :param logits: of the mixture `[B, T, C]`.
    :param experts: logits of each expert `[B, T, 3, C]`, in the order of `mister_e.analysis.result.EXPERTS`.
    :param gate: weight of each expert `[B, T, 3]`; zeros where the model weighs none.
    :param speech_hidden: representations of the speech expert `[B, T, H]`.
    :param text_hidden: representations of the text expert `[B, T, H]`.
    :param present: bool `[B, T, 3]`, the experts that judged.
    """

    logits: Tensor
    experts: Tensor
    gate: Tensor
    speech_hidden: Tensor
    text_hidden: Tensor
    present: Tensor


class MisterE(nn.Module):
    """Emotions of the turns of conversations, from embeddings of their speech and text.

    Nothing here sees who speaks. A turn that lacks a modality carries a learned embedding in its
    place, which the other turns of its conversation may look at; its experts without input weigh 0.
    """

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        there = set(config.experts)
        if there & {"speech", "fusion"}:
            self.missing_speech = nn.Parameter(0.02 * torch.randn(config.speech_dim))
        if there & {"text", "fusion"}:
            self.missing_text = nn.Parameter(0.02 * torch.randn(config.text_dim))
        if "speech" in there:
            self.speech_expert = ContextNetwork(config, config.speech_dim)
        if "text" in there:
            self.text_expert = ContextNetwork(config, config.text_dim)
        if "fusion" in there:
            self.fusion_expert = FusionExpert(config)
        if len(there) > 1 and config.gate in ("learned", "concatenation"):
            width = sum(config.fusion_dim if name == "fusion" else config.hidden for name in config.experts)
            if config.gate == "concatenation":
                self.joint = nn.Sequential(
                    nn.Linear(width, config.fusion_dim),
                    nn.ReLU(),
                    nn.Linear(config.fusion_dim, config.classes),
                )
            else:
                self.gate = Gate(config, width if config.gate_input == "representations" else None)

    def forward(
        self,
        text: Tensor,
        speech: Tensor,
        *,
        mask: Tensor,
        has_text: Tensor,
        has_speech: Tensor,
        window: Window | None = None,
    ) -> MixtureOutput:
        """Judge every real turn; alone or batched, however padded, the result is the same.

        :param text: embeddings `[B, T, Dt]`; any value may stand at pads and where text is missing.
        :param speech: embeddings `[B, T, Ds]`, likewise.
        :param mask: bool `[B, T]`, True = a real turn; pads come last.
        :param has_text: bool `[B, T]`, False = the turn has no text.
        :param has_speech: bool `[B, T]`, False = the turn has no speech.
        :param window: how the context networks read long conversations; None = whole.
        :return: logits in float32 at least.
        :raises ValueError: a tensor has the wrong shape, or the mask a pad before a real turn.
        :raises InputError: a conversation is empty, or a real turn has neither text nor speech.
        """
        packing = Packing.of(mask)
        self._check_shapes(text, speech, mask, has_text, has_speech)
        has_text, has_speech = packing.pack(has_text), packing.pack(has_speech)
        _check_presence(has_text | has_speech, packing)
        present = expert_presence(has_speech, has_text, self.config.experts)

        heard = self._inputs("speech", packing.pack(speech), has_speech)
        read = self._inputs("text", packing.pack(text), has_text)
        experts, hidden = self._consult(heard, read, present, packing, window)
        logits, gate = self._decide(experts, hidden, present)
        return MixtureOutput(
            *map(packing.unpack, (logits, experts, gate, hidden["speech"], hidden["text"], present))
        )

    def _inputs(self, modality: str, embeddings: Tensor, there: Tensor) -> Inputs:
        """What the experts read of a modality; none of them reads one that has no stand-in."""
        stand_in = getattr(self, f"missing_{modality}", None)
        if stand_in is None:
            return Inputs(embeddings, ~there, None)
        return Inputs.of(embeddings, there, stand_in)

    def _consult(
        self, speech: Inputs, text: Inputs, present: Tensor, packing: Packing, window: Window | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Ask the experts that there are.

        :return: logits `[N, 3, C]` in float32 at least, and each expert's representations `[N, H]`;
            zeros where an expert is absent.
        """
        # In training every expert runs on every batch, so that each of its parameters gets a gradient
        # (several processes wait for it); otherwise one without input in the whole batch costs nothing.
        asked = [True] * 3 if self.training else present.any(dim=0).tolist()
        config = self.config
        wanted = [name for name, one in zip(EXPERTS, asked, strict=True) if one and name in config.experts]
        said: dict[str, tuple[Tensor, Tensor]] = {}
        readers = [name for name in wanted if name != "fusion"]
        if readers:
            networks = [self.speech_expert if name == "speech" else self.text_expert for name in readers]
            given = [speech if name == "speech" else text for name in readers]
            found = (
                read_together(networks, given, packing)
                if window is None or int(packing.lengths.max()) <= window.turns
                else read_in_windows(networks, given, packing, window)
            )
            said = dict(zip(readers, found, strict=True))
        if "fusion" in wanted:
            said["fusion"] = self.fusion_expert(speech, text, packing)

        logits: list[Tensor] = []
        hidden: dict[str, Tensor] = {}
        nothing = speech.rows.new_zeros(len(speech.rows), 1)
        for place, name in enumerate(EXPERTS):
            width = config.fusion_dim if name == "fusion" else config.hidden
            judged, represented = said.get(
                name, (nothing.expand(-1, config.classes), nothing.expand(-1, width))
            )
            logits.append(judged)
            hidden[name] = torch.where(present[:, place, None], represented, 0.0)
        experts = torch.stack(logits, dim=1)
        experts = experts.to(torch.promote_types(experts.dtype, torch.float32))
        return torch.where(present.unsqueeze(-1), experts, 0.0), hidden

    def _decide(self, experts: Tensor, hidden: dict[str, Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Make one opinion of the experts'.

        :return: logits `[N, C]` in float32 at least, and the experts' weights `[N, 3]`.
        """
        config = self.config
        if hasattr(self, "joint"):
            logits = self.joint(torch.cat([hidden[name] for name in config.experts], dim=-1))
            logits = logits.to(experts.dtype)
            judged = present.any(dim=-1, keepdim=True)
            return torch.where(judged, logits, 0.0), torch.zeros_like(present, dtype=experts.dtype)
        if hasattr(self, "gate"):
            seen = None
            if config.gate_input == "representations":
                seen = torch.cat([hidden[name] for name in config.experts], dim=-1)
            gate: Tensor = self.gate(experts, present, seen)
        elif config.gate == "vote":
            gate = majority_weights(experts, present)
        else:
            gate = equal_weights(present, experts.dtype)
        return (gate.unsqueeze(-1) * experts).sum(dim=-2), gate

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


def _check_presence(there: Tensor, packing: Packing) -> None:
    """Refuse a real turn that has nothing to judge by."""
    silent = (~there).nonzero()
    if len(silent):
        conversation, turn = packing.place(int(silent[0]))
        raise InputError(
            f"conversation {conversation} of the batch, turn {turn}: neither text nor speech; "
            "leave the turn out or give it one of them"
        )
