"""Low-rank adapters on a frozen backbone (Hu et al. 2022), by `peft`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.errors import InputError, MisterEError


class LoraSettings(BaseModel):
    """Which linear layers get an adapter, and of what size.

    :param rank: r.
    :param alpha: the update is scaled by alpha / r.
    :param dropout: before the adapter, in training only.
    :param targets: ends of module names such as `q_proj`; "all-linear" = every linear layer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(8, gt=0, le=1024)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = ("q_proj", "v_proj")


def add_lora(
    backbone: nn.Module, settings: LoraSettings, *, within: str = "", without: Sequence[str] = ()
) -> nn.Module:
    """Freeze a backbone and put adapters, in float32, on some of its linear layers.

    :param backbone: changed in place.
    :param settings: where and how large.
    :param within: only modules whose name starts so, such as "language_model."; "" = everywhere.
    :param without: ends of module names that are never adapted: the backbone reads their weights past
        the module, and an adapter would do nothing.
    :return: the wrapped backbone, called like the old one.
    :raises InputError: the backbone has no layer of a wanted name.
    :raises MisterEError: `peft` is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MisterEError("LoRA needs an extra: pip install 'mister-e[llm]'") from None
    linear = [
        name
        for name, module in backbone.named_modules()
        if name.startswith(within)
        and isinstance(module, nn.Linear)
        and name.rsplit(".", 1)[-1] not in without
    ]
    if settings.targets == "all-linear":
        chosen = linear
    else:
        chosen = [name for name in linear if name.rsplit(".", 1)[-1] in settings.targets]
        lacking = sorted(set(settings.targets) - {name.rsplit(".", 1)[-1] for name in chosen})
        if lacking:
            have = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
            adaptable = " that can be adapted" if lacking[0] in without else ""
            raise InputError(
                f"lora.targets: {type(backbone).__name__} has no linear layer {lacking[0]!r}{adaptable};"
                f" it has {have}"
            )
    backbone_dtype = next(backbone.parameters()).dtype
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    # adapters of the backbone's own precision would lose small updates: peft keeps them in float32
    with warnings.catch_warnings():
        # peft asks transformers by an old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        wrapped: nn.Module = get_peft_model(
            backbone,
            LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha,  # type: ignore[arg-type]
                lora_dropout=settings.dropout,
                target_modules=chosen,
            ),
            autocast_adapter_dtype=True,
        )
    for module in wrapped.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            # autocast computes in bfloat16 anyway: to float32 and back again is a copy for nothing
            module.cast_input_dtype_enabled = backbone_dtype == torch.float32  # type: ignore[assignment]
    return wrapped


def adapter_weights(module: nn.Module) -> dict[str, Tensor]:
    """Weights that are not a frozen base's: adapters, pooling, projection, classifier, buffers.

    :param module: an encoder whose `backbone` may be frozen, with adapters or without.
    :return: name to value; everything where the backbone itself is trained.
    """
    base = [
        value.requires_grad
        for name, value in module.named_parameters()
        if name.startswith("backbone.") and "lora_" not in name
    ]
    # a model that is trained whole may hold a few weights that never are, as Whisper's positions
    frozen = bool(base) and not any(base)
    weights: Mapping[str, Any] = module.state_dict()
    return {
        name: value
        for name, value in weights.items()
        if not (frozen and name.startswith("backbone.") and "lora_" not in name)
    }
