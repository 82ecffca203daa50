"""The mixture: a speech, a text and a fusion expert, combined turn by turn by a gate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mister_e.errors import InputError
from mister_e.experts import EXPERTS
from mister_e.model.config import MixtureConfig
from mister_e.model.context import ContextNetwork, forward_together
from mister_e.model.fusion import FusionExpert
from mister_e.model.gate import Gate, equal_weights, expert_presence, majority_weights
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing
from mister_e.model.windows import Window, forward_in_windows


@dataclass(frozen=True)
class MixtureOutput:
    """Output of the mixture for a batch; zeros at pads and wherever an expert is absent.

    :param logits: of the mixture `[B, T, C]`.
    :param experts: logits of each expert `[B, T, 3, C]`, in the order of `mister_e.experts.EXPERTS`.
    :param gate: weight of each expert `[B, T, 3]`; zeros in a model without weights (`gate: concatenation`).
    :param speech_hidden: representations of the speech expert `[B, T, H]`.
    :param text_hidden: representations of the text expert `[B, T, H]`.
    :param present: bool `[B, T, 3]`, the experts that classified the turn.
    """

    logits: Tensor
    experts: Tensor
    gate: Tensor
    speech_hidden: Tensor
    text_hidden: Tensor
    present: Tensor


class MisterE(nn.Module):
    """Logits of the emotions of every turn, from embeddings of its conversation's speech and text.

    The speaker is no input. A turn that lacks a modality has a learned embedding in its place, which is
    context for the other turns of its conversation; its experts without input get the weight 0.

    :param config: sizes, and which of the parts there are.
    """

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        experts = set(config.experts)
        if experts & {"speech", "fusion"}:
            self.missing_speech = nn.Parameter(0.02 * torch.randn(config.speech_dim))
        if experts & {"text", "fusion"}:
            self.missing_text = nn.Parameter(0.02 * torch.randn(config.text_dim))
        if "speech" in experts:
            self.speech_expert = ContextNetwork(config, config.speech_dim)
        if "text" in experts:
            self.text_expert = ContextNetwork(config, config.text_dim)
        if "fusion" in experts:
            self.fusion_expert = FusionExpert(config)
        if len(experts) > 1 and config.gate in ("learned", "concatenation"):
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
        """Classify every real turn; alone or batched, however padded, the result is the same.

        :param text: embeddings `[B, T, Dt]`; any value may stand at pads and where text is missing.
        :param speech: embeddings `[B, T, Ds]`, likewise.
        :param mask: bool `[B, T]`, True = a real turn; pads come last.
        :param has_text: bool `[B, T]`, False = the turn has no text.
        :param has_speech: bool `[B, T]`, False = the turn has no speech.
        :param window: how the context networks cut long conversations; None = not at all.
        :return: logits in float32 at least.
        :raises ValueError: a tensor has the wrong shape, or the mask a pad before a real turn.
        :raises InputError: a conversation is empty, or a real turn has neither text nor speech.
        """
        packing = Packing.of(mask)
        self._check_shapes(text, speech, mask, has_text, has_speech)
        has_text, has_speech = packing.pack(has_text), packing.pack(has_speech)
        _check_presence(has_text | has_speech, packing)
        present = expert_presence(has_speech, has_text, self.config.experts)

        speech_inputs = self._inputs("speech", packing.pack(speech), has_speech)
        text_inputs = self._inputs("text", packing.pack(text), has_text)
        experts, hidden = self._run_experts(speech_inputs, text_inputs, present, packing, window)
        logits, gate = self._combine(experts, hidden, present)
        return MixtureOutput(
            *map(packing.unpack, (logits, experts, gate, hidden["speech"], hidden["text"], present))
        )

    def _inputs(self, modality: str, embeddings: Tensor, present: Tensor) -> Inputs:
        """Make the experts' input of a modality; one without a placeholder is input of no expert."""
        placeholder = getattr(self, f"missing_{modality}", None)
        if placeholder is None:
            return Inputs(embeddings, ~present, None)
        return Inputs.of(embeddings, present, placeholder)

    def _run_experts(
        self, speech: Inputs, text: Inputs, present: Tensor, packing: Packing, window: Window | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify the turns with each expert of the model.

        :return: logits `[N, 3, C]` in float32 at least, and each expert's representations `[N, H]`;
            zeros where an expert is absent.
        """
        # In training every expert runs on every batch, so that each of its parameters gets a gradient
        # (data-parallel processes wait for it); otherwise an expert without input in the batch is skipped.
        needed = [True] * 3 if self.training else present.any(dim=0).tolist()
        config = self.config
        names = [name for name, used in zip(EXPERTS, needed, strict=True) if used and name in config.experts]
        outputs: dict[str, tuple[Tensor, Tensor]] = {}
        unimodal = [name for name in names if name != "fusion"]
        if unimodal:
            networks = [self.speech_expert if name == "speech" else self.text_expert for name in unimodal]
            inputs = [speech if name == "speech" else text for name in unimodal]
            network_outputs = (
                forward_together(networks, inputs, packing)
                if window is None or int(packing.lengths.max()) <= window.turns
                else forward_in_windows(networks, inputs, packing, window)
            )
            outputs = dict(zip(unimodal, network_outputs, strict=True))
        if "fusion" in names:
            outputs["fusion"] = self.fusion_expert(speech, text, packing)

        logits: list[Tensor] = []
        hidden: dict[str, Tensor] = {}
        zeros = speech.rows.new_zeros(len(speech.rows), 1)
        for place, name in enumerate(EXPERTS):
            width = config.fusion_dim if name == "fusion" else config.hidden
            expert_logits, representation = outputs.get(
                name, (zeros.expand(-1, config.classes), zeros.expand(-1, width))
            )
            logits.append(expert_logits)
            hidden[name] = torch.where(present[:, place, None], representation, 0.0)
        experts = torch.stack(logits, dim=1)
        experts = experts.to(torch.promote_types(experts.dtype, torch.float32))
        return torch.where(present.unsqueeze(-1), experts, 0.0), hidden

    def _combine(self, experts: Tensor, hidden: dict[str, Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Combine the experts' logits into those of the mixture.

        :return: logits `[N, C]` in float32 at least, and the experts' weights `[N, 3]`.
        """
        config = self.config
        if hasattr(self, "joint"):
            logits = self.joint(torch.cat([hidden[name] for name in config.experts], dim=-1))
            logits = logits.to(experts.dtype)
            classified = present.any(dim=-1, keepdim=True)
            return torch.where(classified, logits, 0.0), torch.zeros_like(present, dtype=experts.dtype)
        if hasattr(self, "gate"):
            representations = None
            if config.gate_input == "representations":
                representations = torch.cat([hidden[name] for name in config.experts], dim=-1)
            gate: Tensor = self.gate(experts, present, representations)
        elif config.gate == "vote":
            gate = majority_weights(experts, present)
        else:
            gate = equal_weights(present, experts.dtype)
        return (gate.unsqueeze(-1) * experts).sum(dim=-2), gate

    def _check_shapes(
        self, text: Tensor, speech: Tensor, mask: Tensor, has_text: Tensor, has_speech: Tensor
    ) -> None:
        """Raise ValueError for a tensor of the wrong shape or type."""
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
    """Raise InputError for a real turn that has neither modality (`present` is bool `[N]`)."""
    empty = (~present).nonzero()
    if len(empty):
        conversation, turn = packing.place(int(empty[0]))
        raise InputError(
            f"conversation {conversation} of the batch, turn {turn}: neither text nor speech; "
            "leave the turn out or give it one of them"
        )
