"""Words to one embedding a turn: an LLM or a bidirectional encoder behind one interface."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mister_e.encoders.pooling import PoolingName, pooling
from mister_e.encoders.weights import load_strictly, resolve
from mister_e.errors import InputError
from mister_e.files import replacing


class TextEncoderConfig(BaseModel):
    """How a text encoder is made.

    :param base: `minilm-l6`, `smollm2-135m`, a folder or a Hub id; any `AutoModel` of transformers.
    :param pooling: how states of tokens become one vector.
    :param embedding_dim: width of the embedding; None = the pooled vector itself.
    :param max_tokens: longer turns lose their end.
    :param dropout: before the classifier, in training only.
    :param classes: size of the classifier that fine-tuning uses; 0 = none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "minilm-l6"
    pooling: PoolingName = "mean"
    embedding_dim: int | None = Field(None, gt=0)
    max_tokens: int = Field(128, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    classes: int = Field(0, ge=0)


class TextEncoder(nn.Module):
    """A transformer, a pooling over its real tokens, and a projection to the embedding.

    The causal and the bidirectional kind differ only in the backbone that `base` names.
    """

    def __init__(self, config: TextEncoderConfig, backbone: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.tokenizer = tokenizer
        hidden = int(backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.pool = pooling(config.pooling, hidden)
        self.dim = config.embedding_dim or self.pool.width
        self.project = (
            nn.Sequential(nn.LayerNorm(self.pool.width), nn.Linear(self.pool.width, self.dim))
            if config.embedding_dim
            else nn.Identity()
        )
        self.classify = (
            nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(self.dim, config.classes))
            if config.classes
            else None
        )

    @classmethod
    def from_base(cls, config: TextEncoderConfig, *, dtype: torch.dtype = torch.float32) -> Self:
        """Start from pretrained weights; projection and classifier are new.

        :param config: names the base.
        :param dtype: precision of the backbone.
        :raises InputError: the base cannot be found.
        """
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        folder = resolve(config.base)
        backbone = AutoModel.from_pretrained(folder, dtype=dtype, local_files_only=True)
        return cls(config, backbone, AutoTokenizer.from_pretrained(folder, local_files_only=True))

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Tokens of turns.

        :param texts: N turns.
        :return: `input_ids` and `attention_mask`, both `[N, L]`, padded on the right.
        """
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        batch = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.config.max_tokens,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
        return {name: batch[name] for name in ("input_ids", "attention_mask")}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed tokens `[N, L]` to `[N, dim]`; pads (mask 0) never count."""
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled: Tensor = self.pool(states.float(), attention_mask.bool())
        embedded: Tensor = self.project(pooled)
        return embedded

    def logits(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings `[N, dim]` to `[N, C]` (stage 1 only)."""
        if self.classify is None:
            raise InputError("this text encoder has no classifier: set `classes` in its configuration")
        logits: Tensor = self.classify(embeddings)
        return logits

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], *, batch_tokens: int = 2048) -> Tensor:
        """Embed turns, longest first in batches of like length.

        :param texts: N turns, none blank.
        :param batch_tokens: tokens in a batch, pads included.
        :return: float32 `[N, dim]`, in the given order.
        :raises InputError: a text is blank.
        """
        for position, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"text {position} is blank: a turn without words has text None, not ''")
        training = self.training
        self.eval()
        device = next(self.parameters()).device
        result = torch.zeros(len(texts), self.dim)
        lengths = [min(len(text), 6 * self.config.max_tokens) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        done = 0
        while done < len(order):
            tokens = self._tokens_about(texts[order[done]])
            batch = order[done : done + max(1, batch_tokens // tokens)]
            inputs = self.tokenize([texts[i] for i in batch])
            result[batch] = self(**{k: v.to(device) for k, v in inputs.items()}).float().cpu()
            done += len(batch)
        self.train(training)
        return result

    def is_cut(self, text: str) -> bool:
        """Tell whether a text has more tokens than are read."""
        most = self.config.max_tokens
        return len(text) > most and len(self.tokenizer(text)["input_ids"]) > most

    def _tokens_about(self, text: str) -> int:
        """Upper guess of the tokens of a text: enough to size a batch."""
        return max(4, min(self.config.max_tokens, len(text) // 3 + 3))

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write the encoder as a folder: configuration, tokenizer and weights.

        :param folder: made where it is missing.
        :param dtype: precision of the weights on disk.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        self.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        special = {
            name: getattr(self.tokenizer, name)
            for name in ("pad_token", "eos_token", "cls_token", "sep_token", "mask_token", "unk_token")
            if getattr(self.tokenizer, name, None)
        }
        settings = {"config": self.config.model_dump(), "special_tokens": special}
        (folder / "encoder.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        weights = {name: value.to(dtype).contiguous() for name, value in self.state_dict().items()}
        with replacing(folder / "model.safetensors") as temporary:
            save_file(weights, temporary)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; a missing or unexpected weight is an error.

        :param folder: the encoder's folder.
        :raises InputError: a file or a weight is missing, or one is unexpected.
        """
        from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

        try:
            settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "model.safetensors")
        except FileNotFoundError as error:
            raise InputError(f"{error.filename}: missing; {folder} is not a whole text encoder") from None
        backbone_config = AutoConfig.from_pretrained(folder, local_files_only=True)
        backbone = AutoModel.from_config(backbone_config)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), **settings["special_tokens"]
        )
        encoder = cls(TextEncoderConfig.model_validate(settings["config"]), backbone, tokenizer)
        load_strictly(encoder, weights, folder / "model.safetensors")
        return encoder
