"""The model card: what a folder's `config.json` says, told to people by a template (`model_card.md`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from mister_e.experts import EXPERTS
from mister_e.pretrained import is_bundled


def render_card(config: Mapping[str, Any]) -> str:
    """Write the `README.md` of a model folder.

    :param config: the JSON of its `config.json`.
    :return: Markdown, with the metadata that the Hugging Face Hub reads at its top.
    """
    scored = {name: row for name, row in config["scores"].items() if "weighted_f1" in row}
    classes = [
        [name, *(_number(row["f1"].get(label)) for label in config["labels"])]
        for name, row in scored.items()
        if row.get("f1")
    ]
    return _template().render(
        config=config,
        name=config["name"] if is_bundled(config["name"]) else "path/to/this/folder",
        made=list(_made(config)),
        rows=[_row(name, row) for name, row in scored.items()],
        classes=classes,
    )


@cache
def _template() -> Template:
    environment = Environment(  # noqa: S701 - Markdown, and nothing in it comes from strangers
        loader=PackageLoader("mister_e.inference", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md")


def _made(config: Mapping[str, Any]) -> Iterator[str]:
    """Say how the encoders and the mixture were made, a line each."""
    for modality, encoder in config["encoders"].items():
        yield f"**{modality.capitalize()}**: {_encoder(encoder)}"
    if any(file.startswith("voices/") for file in config["files"]):
        yield "**Changes of voice**: by a network on Whisper tiny.en; never whose voice it is"
    mixture, training = config["mixture"], config["training"]
    yield (
        f"**Mixture**: experts {', '.join(mixture['experts'])}; gate {mixture['gate']},"
        f" {mixture['hidden']} wide"
    )
    protocol = training.get("protocol") or {}
    if protocol:
        seed = f", seed {training['seed']}" if "seed" in training else ""
        yield (
            f"**Trained on** {protocol.get('name')}: {str(protocol.get('description', '')).rstrip('.')}"
            f" (recipe {training.get('recipe')}{seed}); the epoch was chosen on"
            f" {training.get('selection', 'validation')}"
        )
    for line in training.get("corpora", ()):
        yield f"**Also trained on** {line}"


def _encoder(encoder: Mapping[str, Any]) -> str:
    """Describe an encoder by its kind, base, adapters and size."""
    config = encoder["config"]
    text = f"an encoder of kind {encoder['kind']}"
    if config.get("base"):
        text += f" on {config['base']}"
    if config.get("lora"):
        text += f" with LoRA of rank {config['lora']['rank']} (the base itself is not in this folder)"
    elif config.get("rank"):
        text += f" with updates of rank {config['rank']} (the base itself is not in this folder)"
    if encoder["kind"] == "text":
        history, turns = config.get("history", 0), config.get("turns_per_prompt", 1)
        read = f"a turn is read after {history} to {history + turns - 1} earlier ones"
        text += f"; {read if history else 'each turn is read alone'}"
    return f"{text}; {encoder['dim']} numbers a turn"


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    """Lay out the scores of one condition."""
    interval = " to ".join(f"{edge:.1f}" for edge in row["interval"]) if row.get("interval") else "-"
    experts = row.get("experts") or {}
    gate = row.get("gate") or ()
    return [
        name,
        f"{int(row.get('turns', 0)):,}",
        f"{row['weighted_f1']:.1f} ({interval})",
        " / ".join(_number(experts.get(expert)) for expert in EXPERTS),
        _number(row.get("accuracy")),
        _number(row.get("macro_f1")),
        _number(row.get("ece"), 3),
        _number(row.get("confidence"), 2),
        " / ".join(f"{weight:.2f}" for weight in gate) or "-",
    ]


def _number(value: float | None, places: int = 1) -> str:
    return "-" if value is None else f"{value:.{places}f}"
