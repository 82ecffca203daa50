"""Sound to one embedding a turn by a language model that hears, such as Qwen2-Audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mister_e.encoders.backbones.bases import find_base
from mister_e.encoders.backbones.description import DATA_ONLY, as_input_error, check_description
from mister_e.encoders.backbones.loading import DTYPES, Precision, four_bit_settings, load_model
from mister_e.encoders.backbones.lora import add_lora
from mister_e.encoders.backbones.memory import check_memory
from mister_e.encoders.persistence import fill, read
from mister_e.encoders.speech.audio_prompt import FAMILIES, AudioPrompt
from mister_e.encoders.speech.base import PretrainedSpeechConfig, PretrainedSpeechEncoder
from mister_e.errors import InputError
from mister_e.pretrained.weights import resolve


class AudioLLMConfig(PretrainedSpeechConfig):
    """How an encoder on an audio LLM is made; see `PretrainedSpeechConfig` for the other fields.

    :param instruction: said before the sound.
    :param four_bit: a base of four bits; needs a GPU and `bitsandbytes`.
    """

    base: str = "Qwen/Qwen2-Audio-7B"
    instruction: str = "Which emotion does the speaker express?"
    four_bit: bool = False


class AudioLLMEncoder(PretrainedSpeechEncoder):
    """Mean (or another pooling) of what an audio LLM thinks at the tokens of the sound.

    The audio tower and the projector are frozen; adapters are in the language model alone. Its head is
    neither loaded nor computed.
    """

    kind: ClassVar[str] = "audio-llm"
    noun: ClassVar[str] = "audio-llm encoder"
    batch_cost: ClassVar[int] = 60_000
    config: AudioLLMConfig

    def __init__(
        self, config: AudioLLMConfig, backbone: nn.Module, prompt: AudioPrompt, *, place: str | None = None
    ) -> None:
        width = int(backbone.config.text_config.hidden_size)  # type: ignore[union-attr, arg-type]
        language: Any = backbone.language_model
        tower: Any = backbone.audio_tower
        backbone.requires_grad_(False)
        if config.lora is not None:
            backbone = add_lora(backbone, config.lora, within="language_model.")
        if config.gradient_checkpointing:
            # the other way needs inputs that have gradients, and sound has none
            language.activation_checkpointing_enable({"use_reentrant": False})
        super().__init__(config, backbone, width, place)
        self.prompt = prompt
        self._tower: tuple[nn.Module, ...] = (tower,)  # a tuple: it is registered in the backbone already
        self.train(self.training)

    @classmethod
    def from_base(cls, config: AudioLLMConfig, place: str | None = None) -> Self:
        """Start from pretrained weights; adapters, projection and classifier are new.

        :param config: names the base.
        :param place: where the base lies; None = what its name says.
        :raises InputError: the base cannot be found, is no such model, or has no such layers.
        :raises MisterEError: this machine cannot hold the base.
        """
        place = place or config.base
        backbone, processor = load_audio_llm(place, dtype=config.dtype, four_bit=config.four_bit)
        settings: Any = backbone.config
        prompt = FAMILIES[settings.model_type](processor, settings, config.instruction)
        return cls(config, backbone, prompt, place=place)

    @property
    def max_seconds(self) -> float:
        """Seconds of a turn that are encoded at most: no more than the tower's window."""
        return min(self.config.max_seconds, self.prompt.seconds)

    @property
    def reading(self) -> str:
        """The prompt, its tokens, and the feature extractor's settings."""
        ids = self.prompt.processor.tokenizer.encode(self.prompt.text)
        return f"{self.prompt.text} {ids} {self.prompt.processor.feature_extractor.to_json_string()}"

    def read(self, sounds: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Make the model's inputs by its own processor."""
        return self.prompt.read(sounds)

    def states(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the model without its head; states of all tokens, and which of them are the sound's."""
        given = {name: value for name, value in inputs.items() if name not in {"real", "absent"}}
        features = given["input_features"]
        given["input_features"] = features.to(DTYPES[self.config.dtype])
        # pads before a turn must not move it
        position_ids = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        states = self.backbone(**given, position_ids=position_ids, use_cache=False).last_hidden_state
        return states, inputs["real"]

    def still(self) -> list[nn.Module]:
        """The tower always, and all where there are no adapters."""
        return [*super().still(), *self._tower]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; a missing or unexpected weight is an error.

        :param folder: the encoder's folder.
        :raises InputError: a file or a weight is missing, one is unexpected, or the base is another one.
        """
        saved = read(folder, AudioLLMConfig, cls.noun)
        encoder = cls.from_base(saved.config, find_base(folder, saved.config.base, saved.settings))
        fill(encoder, saved.weights, folder)
        return encoder


def load_audio_llm(
    name: str, *, dtype: Precision = "float32", four_bit: bool = False
) -> tuple[nn.Module, Any]:
    """Load an audio LLM without its head, and its processor.

    :param name: a folder or a Hugging Face Hub id.
    :param dtype: precision of its weights.
    :param four_bit: quantise to four bits (NF4); needs a GPU and `bitsandbytes`.
    :raises InputError: nothing of that name can be found, or it is no such model.
    :raises MisterEError: the machine cannot hold it, or four bits are not possible here.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = resolve(name)
    settings: dict[str, Any] = {"dtype": DTYPES[dtype]}
    if four_bit:
        settings["quantization_config"] = four_bit_settings()
    else:
        check_memory(folder, DTYPES[dtype])
    check_description(folder)
    with as_input_error(f"{name!r} is no audio LLM that transformers loads"):
        config = AutoConfig.from_pretrained(folder, **DATA_ONLY)
        if config.model_type not in FAMILIES:
            raise InputError(
                f"base {name!r}: a model of type {config.model_type!r}; an encoder of kind audio-llm is"
                f" one of {', '.join(FAMILIES)}, and encoders of speech alone are of kind speech-model"
            )
        processor = AutoProcessor.from_pretrained(folder, **DATA_ONLY)
        return load_model(folder, name, config=config, **settings), processor
