"""What an audio LLM reads: an instruction, then the sound of one turn.

The instruction comes first because the states of the audio tokens are what is pooled, and a causal model
has read no more than what stands before them. For the same reason nothing follows the sound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError

Sounds = Sequence[NDArray[np.float32]]


class AudioPrompt(ABC):
    """How a family of audio LLMs is asked.

    :param processor: the model's own.
    :param config: of the model.
    :param instruction: said before the sound; may be blank.
    :raises InputError: the instruction holds what stands for the sound.
    """

    def __init__(self, processor: Any, config: Any, instruction: str) -> None:
        if processor.audio_token in instruction:
            raise InputError(
                f"instruction: leave {processor.audio_token!r} out, the sound follows the instruction"
            )
        self.processor, self.config = processor, config
        self.instruction = instruction.strip()
        if processor.tokenizer.pad_token is None:
            # pads are masked everywhere: which token stands for them changes nothing
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    @property
    @abstractmethod
    def text(self) -> str:
        """What is asked, up to and with the mark that stands for the sound."""

    @property
    def seconds(self) -> float:
        """Length of the window that a turn must fit in, 30 in all published models."""
        return float(self.processor.feature_extractor.chunk_length)

    @abstractmethod
    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Ask about R sounds at 16 kHz.

        :return: the model's inputs, padded on either side; `real` bool `[R, L]` is True where a token of
            `input_ids` `[R, L]` stands for the sound itself, not for silence behind it.
        """


class ProcessorPrompt(AudioPrompt):
    """Qwen2-Audio and Audio Flamingo 3: the processor puts as many tokens as the sound is long."""

    @property
    def text(self) -> str:
        """The chat template of the processor as far as the sound; without one, the instruction alone."""
        words = [{"type": "text", "text": f"{self.instruction}\n"}] if self.instruction else []
        # the name of the sound is never opened: the template is not asked for tokens
        talk = [{"role": "user", "content": [*words, {"type": "audio", "audio_url": "turn.wav"}]}]
        token = self.processor.audio_token
        if self.processor.chat_template is None:
            return f"{self.instruction}\n{token}".lstrip()
        before, mark, _ = str(self.processor.apply_chat_template(talk, tokenize=False)).partition(token)
        if not mark:
            raise InputError(f"the chat template of this base has no {token!r} for audio; get the base again")
        if self.instruction not in before:  # a template that puts all sound before all words
            before = f"{before}{self.instruction}\n"
        return before + mark

    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Let the processor make tokens and features."""
        text = self.text
        start = self.processor.tokenizer.bos_token
        made = self.processor(
            text=[text] * len(sounds),
            audio=list(sounds),
            text_kwargs={"padding": True, "add_special_tokens": not (start and text.startswith(start))},
            audio_kwargs={"sampling_rate": SAMPLE_RATE},
            return_tensors="pt",
        )
        return {**made, "real": made["input_ids"] == self.config.audio_token_id}


class WindowPrompt(AudioPrompt):
    """Voxtral: every sound is a window of the same number of tokens, silence included."""

    @property
    def text(self) -> str:
        """The marks of an instruction around it."""
        return f"<s>[INST]{self.instruction}[BEGIN_AUDIO]{self.processor.audio_token}"

    def read(self, sounds: Sounds) -> dict[str, Tensor]:
        """Make features by the processor's extractor, and tokens as its tokenizer has them."""
        tokenizer, extractor = self.processor.tokenizer, self.processor.feature_extractor
        features = extractor(
            list(sounds), sampling_rate=SAMPLE_RATE, padding="max_length", return_tensors="pt"
        )["input_features"]
        audio = self.config.audio_config
        # the projector joins so many states of the tower, each of two mel frames
        joined = audio.intermediate_size // audio.hidden_size
        start, instruct, begin = (
            tokenizer.bos_token_id,
            *(tokenizer.convert_tokens_to_ids(mark) for mark in ("[INST]", "[BEGIN_AUDIO]")),
        )
        words = tokenizer.encode(self.instruction, add_special_tokens=False) if self.instruction else []
        head = [start, instruct, *words, begin]
        count = audio.max_source_positions // joined
        ids = torch.tensor([*head, *[self.config.audio_token_id] * count])
        step = joined * 2 * extractor.hop_length
        lengths = torch.tensor([-(-len(sound) // step) for sound in sounds])
        place = torch.arange(len(ids)) - len(head)
        return {
            "input_ids": ids.expand(len(sounds), -1),
            "attention_mask": torch.ones(len(sounds), len(ids), dtype=torch.long),
            "input_features": features,
            "real": (place >= 0) & (place < lengths[:, None]),
        }


#: Families of audio LLMs whose batches are known to leave a turn as it is alone.
FAMILIES: Mapping[str, type[AudioPrompt]] = {
    "qwen2_audio": ProcessorPrompt,
    "audioflamingo3": ProcessorPrompt,
    "voxtral": WindowPrompt,
}
