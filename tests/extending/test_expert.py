"""CONTRIBUTING, "An expert": one that reads the words and the sound of a turn side by side."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

NETWORK = '''
"""An expert that reads the words and the sound of a turn side by side, without its neighbours."""

import torch
from torch import Tensor, nn

from mister_e.model.config import MixtureConfig
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing


class JointExpert(nn.Module):
    """A layer over both embeddings."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.represent = nn.Linear(config.text_dim + config.speech_dim, config.hidden)
        self.classify = nn.Linear(config.hidden, config.classes)

    def forward(self, speech: Inputs, text: Inputs, packing: Packing) -> tuple[Tensor, Tensor]:
        """Logits `[N, C]` and representations `[N, H]`."""
        hidden = self.represent(torch.cat([speech.with_placeholder(), text.with_placeholder()], -1)).relu()
        return self.classify(hidden), hidden
'''
CODE = """
import torch
from mister_e.cli import table
from mister_e.experts import EXPERTS
from mister_e.inference.batch import needed_modalities
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.training.losses import LossConfig, mixture_loss

sizes = dict(classes=3, text_dim=5, speech_dim=4, hidden=8, gru_layers=1, gru_hidden=4, fusion_dim=6,
             fusion_blocks=1, attention_dim=6)
mask = torch.tensor([[True, True, True], [True, True, False]])
speech = torch.tensor([[True, True, False], [True, True, False]])
inputs = dict(text=torch.randn(2, 3, 5), speech=torch.randn(2, 3, 4))
inputs |= dict(mask=mask, has_text=mask, has_speech=speech)

model = MisterE(MixtureConfig(**sizes, experts=EXPERTS))
output = model(**inputs)
assert output.experts.shape == (2, 3, 4, 3)
assert torch.allclose(output.gate.sum(-1), mask.float())
assert torch.equal(output.present[..., 3], speech)
assert torch.equal(output.gate[..., 3] > 0, speech)
labels = torch.tensor([[0, 1, 2], [2, 1, -1]])
mixture_loss(output, labels, mask=mask, weights=LossConfig()).backward()
assert all(parameter.grad is not None for parameter in model.parameters())

former = MisterE(MixtureConfig(**sizes)).eval()
assert former(**inputs).gate[..., 3].abs().max() == 0
alone = MisterE(MixtureConfig(**sizes, experts=["joint"])).eval()
assert needed_modalities(alone.config) == ["text", "speech"]
assert alone(**inputs).logits[0, 0].abs().max() > 0
assert "joint" in table.gate_cells(dict(speech=0.1, text=0.2, fusion=0.3, joint=0.4))
assert table.EXPERT_STYLES.keys() == set(EXPERTS)
print("done")
"""


def test_a_new_expert_is_trained_weighed_and_left_out_of_former_models(copy):
    copy.add("model/joint.py", NETWORK)
    copy.edit(
        "experts.py",
        ('Literal["speech", "text", "fusion"]', 'Literal["speech", "text", "fusion", "joint"]'),
        ('= ("speech", "text", "fusion")', '= ("speech", "text", "fusion", "joint")'),
    )
    copy.edit(
        "model/mixture.py",
        ("import FusionExpert\n", "import FusionExpert\nfrom mister_e.model.joint import JointExpert\n"),
        # __init__: the placeholders that it reads, and the network
        ('if experts & {"speech", "fusion"}', 'if experts & {"speech", "fusion", "joint"}'),
        ('if experts & {"text", "fusion"}', 'if experts & {"text", "fusion", "joint"}'),
        (
            "            self.fusion_expert = FusionExpert(config)\n",
            "            self.fusion_expert = FusionExpert(config)\n"
            '        if "joint" in experts:\n            self.joint_expert = JointExpert(config)\n',
        ),
        # _run_experts
        ("[True] * 3", "[True] * len(EXPERTS)"),
        ('if name != "fusion"]', 'if name in ("speech", "text")]'),
        (
            '        if "fusion" in names:\n',
            '        if "joint" in names:\n'
            '            outputs["joint"] = self.joint_expert(speech, text, packing)\n'
            '        if "fusion" in names:\n',
        ),
    )
    copy.edit(
        "model/gate.py",
        ("(has_speech, has_text, has_fusion)", "(has_speech, has_text, has_fusion, has_speech & has_text)"),
    )
    copy.edit("inference/batch.py", ('{modality, "fusion"}', '{modality, "fusion", "joint"}'))
    copy.edit(
        "cli/table.py",
        ('"black on magenta"),\n', '"black on magenta"),\n    "joint": ("J", "black on green"),\n'),
    )
    assert copy.python("-c", CODE).strip() == "done"
