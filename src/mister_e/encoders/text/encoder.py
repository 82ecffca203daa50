"""Words to one embedding a turn: an LLM or a bidirectional encoder behind one interface."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from mister_e.conversation import Conversation, has_words
from mister_e.encoders.backbones.bases import find_base, remember
from mister_e.encoders.backbones.description import built
from mister_e.encoders.backbones.loading import Precision, identify, load_backbone
from mister_e.encoders.backbones.lora import LoraSettings, adapter_weights, add_lora
from mister_e.encoders.base import Example, UtteranceEncoder, embed_examples, fingerprint
from mister_e.encoders.layers import PoolingName, classifier, pooling, projection
from mister_e.encoders.persistence import fill, read, write
from mister_e.encoders.text.own_backbone import blank_text_backbone, check_tokens, own_tokenizer
from mister_e.encoders.text.prompts import Prompt, prompts, turn_mask
from mister_e.errors import InputError

#: Bidirectional models that take a mask of their own over pairs of tokens.
MASKABLE = ("bert", "roberta", "xlm-roberta")

#: What a saved tokenizer has to be told again.
SPECIAL_TOKENS = (
    "bos_token",
    "pad_token",
    "eos_token",
    "cls_token",
    "sep_token",
    "mask_token",
    "unk_token",
)


class TextEncoderConfig(BaseModel):
    """How a text encoder is made.

    :param base: `minilm-l6`, `smollm2-135m`, a folder, a Hub id or a `.gguf` file; any `AutoModel`.
    :param pooling: how states of a turn's tokens become one vector.
    :param embedding_dim: width of the embedding; None = the pooled vector itself.
    :param max_tokens: longer turns lose their end.
    :param dropout: before the classifier, in training only.
    :param token_dropout: fraction of the words' tokens that are hidden, in training only.
    :param classes: size of the classifier that fine-tuning uses; 0 = none.
    :param lora: adapters on a frozen base; None = every weight is trained.
    :param dtype: precision of the base's weights; a base that is trained whole is float32.
    :param instruction: said once, before the turns.
    :param history: turns with words that are read before the one whose tokens are pooled.
    :param turns_per_prompt: turns that one prompt reads out. With more than 1 each turn sees `history` to
        `history + turns_per_prompt - 1` earlier ones, at a fraction of the cost, and never a later one.
    :param max_prompt_tokens: longer prompts lose their oldest history.
    :param gradient_checkpointing: trade time for memory in training.
    :param four_bit: a base of four bits; needs a GPU and `bitsandbytes`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "minilm-l6"
    pooling: PoolingName = "mean"
    embedding_dim: int | None = Field(None, gt=0, le=16384)
    max_tokens: int = Field(128, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    token_dropout: float = Field(0.0, ge=0, lt=1)
    classes: int = Field(0, ge=0, le=10_000)
    lora: LoraSettings | None = None
    dtype: Precision = "float32"
    instruction: str | None = None
    history: int = Field(0, ge=0)
    turns_per_prompt: int = Field(1, gt=0)
    max_prompt_tokens: int = Field(512, gt=0)
    gradient_checkpointing: bool = False
    four_bit: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.lora is None and (self.four_bit or self.dtype != "float32"):
            raise ValueError("dtype and four_bit are of a frozen base: set lora, or leave them out")
        if self.max_prompt_tokens < self.max_tokens:
            raise ValueError("max_prompt_tokens is below max_tokens: a prompt holds a whole turn at least")
        return self


class TextEncoder(UtteranceEncoder):
    """A transformer, a pooling over a turn's real tokens, and a projection to the embedding.

    The causal and the bidirectional kind differ only in the backbone that `base` names.
    """

    modality: ClassVar[Literal["text"]] = "text"
    kind: ClassVar[str] = "text"
    batch_cost: ClassVar[int] = 2048
    config: TextEncoderConfig

    def __init__(
        self, config: TextEncoderConfig, backbone: nn.Module, tokenizer: Any, *, place: str | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.place = place or config.base
        self.tokenizer = tokenizer
        hidden = int(backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.by_turns = config.turns_per_prompt > 1 and not is_causal(backbone)
        if self.by_turns and backbone.config.model_type not in MASKABLE:  # type: ignore[union-attr, operator]
            raise InputError(
                f"turns_per_prompt: {config.base!r} reads in both directions, and a turn would see"
                f" what follows it (only {', '.join(MASKABLE)} can be kept from it); set turns_per_prompt: 1"
            )
        self.attention = backbone.config._attn_implementation if is_causal(backbone) else None  # type: ignore[union-attr]
        self.places = places(backbone)
        self.vocabulary = int(backbone.get_input_embeddings().num_embeddings)  # type: ignore[operator]
        if config.lora is not None:
            backbone = add_lora(backbone, config.lora)
        if config.gradient_checkpointing:
            backbone.gradient_checkpointing_enable()  # type: ignore[operator]
            backbone.enable_input_require_grads()  # type: ignore[operator]
        self.backbone = backbone
        self.pool = pooling(config.pooling, hidden)
        self.dim = config.embedding_dim or self.pool.width
        self.project = projection(self.pool.width, config.embedding_dim)
        self.classify = classifier(self.dim, config.dropout, config.classes)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and use; on a CPU each has its faster attention."""
        super().train(mode)
        # there the fused causal attention takes a third of a step in bfloat16, mostly on its way back
        if self.attention == "sdpa" and next(self.backbone.parameters()).device.type == "cpu":
            self.backbone.set_attn_implementation("eager" if mode else "sdpa")  # type: ignore[operator]
        return self

    @classmethod
    def from_base(cls, config: TextEncoderConfig, place: str | None = None) -> Self:
        """Start from pretrained weights; adapters, projection and classifier are new.

        :param config: names the base.
        :param place: where the base lies; None = what its name says.
        :raises InputError: the base cannot be found, or has no such layers.
        :raises MisterEError: this machine cannot hold the base.
        """
        place = place or config.base
        loaded = load_backbone(place, dtype=config.dtype, four_bit=config.four_bit)
        return cls(config, *loaded, place=place)

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Cut conversations into prompts; the cost is their tokens."""
        return self.prompts([[turn.text for turn in conversation] for conversation in conversations])

    def prompts(self, conversations: Sequence[Sequence[str | None]]) -> list[Example]:
        """Cut words of conversations into prompts (see `encoders.prompts`).

        :param conversations: the words of every turn; blank or None = no words.
        """
        return prompts(
            conversations,
            self.tokenizer,
            instruction=self.config.instruction,
            history=self.config.history,
            turns_per_prompt=self.config.turns_per_prompt,
            max_tokens=self.config.max_tokens,
            max_prompt_tokens=self.config.max_prompt_tokens,
        )

    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Pad prompts on the right.

        :param examples: of `examples`, B of them with R turns together.
        :param random: hides tokens; None = all are shown.
        :return: `input_ids` and `attention_mask` `[B, L]` (`[B, 1, L, L]` where a bidirectional model reads
            several turns); for each turn its prompt `rows` `[R]`, and the
            `positions` `[R, S]` of its tokens there, real where `span_mask` `[R, S]` is True.
        :raises InputError: a prompt is longer than the base can read.
        """
        read: list[Prompt] = [example.content for example in examples]
        longest = max(len(prompt.ids) for prompt in read)
        if self.places is not None and longest > self.places:
            raise InputError(
                f"a prompt of {longest} tokens, but {self.config.base!r} reads {self.places} at most:"
                f" set max_prompt_tokens (now {self.config.max_prompt_tokens}) and"
                f" max_tokens (now {self.config.max_tokens}) to that or less"
            )
        input_ids = torch.full((len(read), longest), self.tokenizer.pad_token_id)
        attention_mask = torch.zeros(len(read), longest, dtype=torch.long)
        rows: list[int] = []
        places: list[list[int]] = []
        for row, prompt in enumerate(read):
            input_ids[row, : len(prompt.ids)] = torch.from_numpy(self._shown(prompt, random))
            attention_mask[row, : len(prompt.ids)] = 1
            for first, last in prompt.spans:
                rows.append(row)
                places.append([*range(prompt.start), *range(first, last)])
        if int(input_ids.max()) >= self.vocabulary:
            raise InputError(
                f"{self.place!r}: its tokenizer makes token {int(input_ids.max())}, and the model has"
                f" {self.vocabulary}: one of them is another's or damaged; get the base again"
            )
        if self.by_turns:
            attention_mask = turn_mask(read, longest)
        positions = torch.zeros(len(rows), max(map(len, places)), dtype=torch.long)
        span_mask = torch.zeros(positions.shape, dtype=torch.bool)
        for turn, place in enumerate(places):
            positions[turn, : len(place)] = torch.tensor(place)
            span_mask[turn, : len(place)] = True
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "rows": torch.tensor(rows),
            "positions": positions,
            "span_mask": span_mask,
        }

    def _shown(self, prompt: Prompt, random: np.random.Generator | None) -> NDArray[np.int64]:
        """Token ids of a prompt, some of its words' hidden; never the head, nor the end marks of turns."""
        ids = np.array(prompt.ids)
        if random is not None and self.config.token_dropout:
            hidden = random.random(len(ids)) < self.config.token_dropout
            hidden[: prompt.lengths[0]] = False
            hidden[np.cumsum(prompt.lengths) - 1] = False
            tokens = self.tokenizer
            # a model that never met a mask gets the token that tells it least
            blank = (tokens.mask_token_id, tokens.unk_token_id, tokens.pad_token_id)
            ids[hidden] = next(token for token in blank if token is not None)
        return ids

    def forward(self, *args: Any, **inputs: Any) -> Tensor:
        """Embed the R turns of prompts to `[R, dim]`, given what `collate` returns."""
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        if self.by_turns:
            mask = torch.zeros(mask.shape, device=mask.device).masked_fill(
                ~mask, torch.finfo(torch.float32).min
            )
        half = self.config.dtype == "bfloat16"
        with torch.autocast(ids.device.type, torch.bfloat16) if half else nullcontext():
            states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        turns = states[inputs["rows"][:, None], inputs["positions"]].float()
        pooled: Tensor = self.pool(turns, inputs["span_mask"])
        embedded: Tensor = self.project(pooled)
        return embedded

    def embed(self, texts: Sequence[str], *, batch_tokens: int | None = None) -> Tensor:
        """Embed texts, each on its own.

        :param texts: N turns, none blank.
        :param batch_tokens: tokens in a batch, pads included; None = `batch_cost`.
        :return: float32 `[N, dim]`, in the given order.
        :raises InputError: a text is blank.
        """
        for position, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"text {position} is blank: a turn without words has text None, not ''")
        return self.embed_words([[text] for text in texts], batch_tokens=batch_tokens)

    def embed_words(
        self, conversations: Sequence[Sequence[str | None]], *, batch_tokens: int | None = None
    ) -> Tensor:
        """Embed the words of conversations, each turn with its history.

        :param conversations: N turns together; blank or None = no words.
        :param batch_tokens: tokens in a batch, pads included; None = `batch_cost`.
        :return: float32 `[N, dim]`; zeros where there are no words.
        """
        count = sum(map(len, conversations))
        return embed_examples(self, self.prompts(conversations), count, budget=batch_tokens)[0]

    def is_cut(self, text: str) -> bool:
        """Tell whether a text has more tokens than are read."""
        max_tokens = self.config.max_tokens
        return len(text) > max_tokens and len(self.tokenizer(text)["input_ids"]) > max_tokens

    def notes(self, conversations: Sequence[Conversation]) -> list[str]:
        """Say how many turns are longer than what is read."""
        texts = [turn.text for conversation in conversations for turn in conversation]
        texts = [text for text in texts if text and has_words(text)]
        cut = sum(self.is_cut(text) for text in texts if text)
        if not cut:
            return []
        return [
            f"{cut} of {len(texts)} turns are longer than {self.config.max_tokens} tokens:"
            " their ends were not read"
        ]

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the token ids that a turn's embedding depends on; None = no words."""
        keys: list[str | None] = [None] * sum(map(len, conversations))
        for example in self.examples(conversations):
            prompt: Prompt = example.content
            for turn, (first, last) in zip(example.turns, prompt.spans, strict=True):
                # a causal model sees nothing after the turn; with one turn a prompt, nothing follows it
                seen = np.array([first, *prompt.ids[:last]], dtype=np.int32)
                keys[turn] = hashlib.sha256(seen.tobytes()).hexdigest()
        return keys

    @property
    def identity(self) -> str:
        """One SHA-256 over configuration, base, tokenizer and weights."""
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # how the last call padded and cut is kept there too, and decides nothing
        tokenizer |= {"padding": None, "truncation": None}
        tokens = hashlib.sha256(json.dumps(tokenizer, sort_keys=True).encode()).hexdigest()
        base = identify(self.place) if self.config.lora is not None else ""
        return fingerprint(self.kind, self.config, f"{base} {tokens}", adapter_weights(self))

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write the encoder as a folder: configuration, tokenizer and weights.

        With adapters the base stays where it is: only its name and identity are written.

        :param folder: made where it is missing.
        :param dtype: precision of the weights on disk.
        """
        metadata: dict[str, Any] = {"config": self.config.model_dump(exclude_defaults=True)}
        metadata["config"]["base"] = self.config.base
        if self.config.lora is not None:
            metadata["base"] = remember(self.place)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self.backbone.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
            self.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
            metadata["special_tokens"] = {
                name: getattr(self.tokenizer, name)
                for name in SPECIAL_TOKENS
                if getattr(self.tokenizer, name, None)
            }
        write(self, folder, dtype=dtype, metadata=metadata)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; a missing or unexpected weight is an error.

        :param folder: the encoder's folder.
        :raises InputError: a file or a weight is missing, one is unexpected, or the base is another one.
        """
        saved = read(folder, TextEncoderConfig, "text encoder")
        config = saved.config
        if config.lora is not None:
            base = find_base(folder, config.base, saved.settings)
            encoder = cls.from_base(config, base)
            check_tokens(Path(base), encoder.tokenizer, encoder.backbone)
        else:
            make = blank_text_backbone(folder)
            tokens = own_tokenizer(folder, saved.settings.get("special_tokens"), SPECIAL_TOKENS)
            path = folder / "model.safetensors"
            encoder = cast("Self", built(lambda: cls(config, make(), tokens), saved.weights, path))
            check_tokens(folder, tokens, encoder.backbone)
        fill(encoder, saved.weights, folder)
        return encoder


def is_causal(backbone: nn.Module) -> bool:
    """Tell a decoder-only model from a bidirectional one, by its own attention."""
    return any(getattr(module, "is_causal", False) for module in backbone.modules()) and not getattr(
        backbone.config, "is_encoder_decoder", False
    )


def places(backbone: nn.Module) -> int | None:
    """Tokens that a model with learned positions reads at most; None = it has none of these."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in ("position_embeddings", "wpe"):
            # RoBERTa counts from behind the place of its pads
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - before
    return None
