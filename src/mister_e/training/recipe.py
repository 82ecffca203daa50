"""A recipe: one commented YAML that says how the encoders and the mixture of a model are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from mister_e.encoders.registry import FORMER_KINDS, config_class
from mister_e.errors import InputError
from mister_e.training.settings import (
    STORE_SIZES,
    AugmentationConfig,
    FinetuneSettings,
    MixtureRecipe,
    SamplingConfig,
    Section,
)
from mister_e.training.settings.voices import VoicesRecipe

PARTS = ("text", "speech")


class EncoderRecipe(Section):
    """One encoder of a recipe.

    :param kind: of the encoder, see `mister_e.encoders.registry`.
    :param encoder: its configuration; `classes` is the corpus's business.
    :param start: an encoder of the same base and sizes to go on from: a folder, a run, or a bundled model;
        None = the pretrained base.
    :param finetune: how it is fine-tuned; None = used as it is.
    :param corpora: names of the prepared corpora that are trained on, each a folder of its name in one of
        those given with `--data`. The first one's labels hold, and its validation split chooses the epoch
        (with `sampling`, those of all do). None = the corpus that `--data` itself is.
    :param sampling: train on single clips, drawn evenly from the corpora, and not on whole conversations;
        None = on conversations.
    :param augmentation: how the clips of `sampling` are changed.
    """

    kind: str
    encoder: BaseModel
    start: str | None = None
    corpora: tuple[str, ...] | None = Field(None, min_length=1)
    finetune: FinetuneSettings | None = None
    sampling: SamplingConfig | None = None
    augmentation: AugmentationConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_its_kind(cls, data: Any) -> Any:
        """Read the configuration as the kind has it."""
        if isinstance(data, dict) and isinstance(data.get("encoder", {}), dict):
            if "kind" not in data:
                raise ValueError("no field 'kind'")
            if "classes" in data.get("encoder", {}):
                raise ValueError("encoder.classes: leave it out, the corpus's labels decide it")
            if isinstance(data.get("finetune"), dict) and "seed" in data["finetune"]:
                raise ValueError("finetune.seed: leave it out, the recipe's `seeds` decide it")
            if not isinstance(data["kind"], str):
                raise ValueError("kind: expected the name of a kind of encoder")
            if data["kind"] in FORMER_KINDS:
                raise ValueError(
                    f"kind {data['kind']!r} is called {FORMER_KINDS[data['kind']]} now; rename it"
                )
            config = config_class(str(data["kind"]))
            data = {**data, "encoder": config.model_validate(data.get("encoder", {}))}
        return data

    @field_validator("corpora")
    @classmethod
    def _each_corpus_once(cls, corpora: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if corpora is not None and len(set(corpora)) != len(corpora):
            raise ValueError("a corpus is named twice")
        return corpora

    @model_validator(mode="after")
    def _sampled_as_a_whole(self) -> Self:
        """Refuse settings that sampling takes the place of."""
        if self.sampling is None:
            if self.augmentation is not None:
                raise ValueError("augmentation: changes the clips of `sampling`, which is not there")
            return self
        if self.kind != "whisper":
            raise ValueError(f"sampling: is for an encoder of kind whisper, this one is {self.kind}")
        for name in ("class_weights", "batch_cost", "batch_examples"):
            if self.finetune is not None and getattr(self.finetune, name) is not None:
                raise ValueError(f"finetune.{name}: leave it out, sampling decides what a batch has")
        return self


class Recipe(Section):
    """What `mister-e finetune` and `mister-e train` follow.

    :param name: of the recipe.
    :param description: one sentence.
    :param text: the encoder of words.
    :param speech: the encoder of sound.
    :param mixture: the experts and their gate, trained on what the encoders give.
    :param voices: the network that tells changes of voice, for `analyze --turns voices`.
    :param seeds: one run each.
    :param languages: codes of the languages that the model is meant for.
    :param notes: what a user of the model should know besides, a sentence each.
    :param terms: what the model may be used for.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"words": "text.corpora"}

    name: str
    description: str = ""
    text: EncoderRecipe | None = None
    speech: EncoderRecipe | None = None
    mixture: MixtureRecipe | None = None
    voices: VoicesRecipe | None = None
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    languages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    terms: str = ""

    @field_validator("seeds")
    @classmethod
    def _once_each(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is named twice")
        if min(seeds) < 0:
            raise ValueError(f"a seed is a number from 0 on, got {min(seeds)}")
        return seeds

    def part(self, name: str) -> EncoderRecipe:
        """Give the text or the speech part.

        :raises InputError: the recipe has none, or it is not fine-tuned.
        """
        found: EncoderRecipe | None = getattr(self, name)
        if found is None:
            raise InputError(f"recipe {self.name}: it has no part {name!r}")
        if found.finetune is None:
            raise InputError(f"recipe {self.name}: its part {name!r} is used as it is: nothing to fine-tune")
        return found

    def stage2(self) -> MixtureRecipe:
        """Give the mixture.

        :raises InputError: the recipe has none.
        """
        if self.mixture is None:
            raise InputError(
                f"recipe {self.name}: it has no part 'mixture'; `mixture: {{}}` is the published one"
            )
        return self.mixture

    def voice_changes(self) -> VoicesRecipe:
        """Give the network that tells changes of voice.

        :raises InputError: the recipe has none.
        """
        if self.voices is None:
            raise InputError(
                f"recipe {self.name}: it has no part 'voices'; recipes/voice-changes.yaml has one"
            )
        return self.voices

    def changed(self, fields: Mapping[str, Any]) -> Recipe:
        """Give the recipe with other values in some fields.

        :param fields: path such as `mixture.model.gru` to value.
        :raises InputError: there is no such field, or it does not take that value.
        """
        data = yaml.safe_load(self.to_yaml())
        for place, value in fields.items():
            _put(data, place, value)
        return _validated(data, f"recipe {self.name}")

    def to_yaml(self) -> str:
        """The recipe as it was resolved."""
        data = _plain(self)
        for part in PARTS:
            data.get(part, {}).get("encoder", {}).pop("classes", None)
            data.get(part, {}).get("finetune", {}).pop("seed", None)
        for part in ("mixture", "voices"):
            data.get(part, {}).get("train", {}).pop("seed", None)
        for name in STORE_SIZES:
            data.get("mixture", {}).get("model", {}).pop(name, None)
        return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    :param path: a YAML file.
    :param changes: `text.finetune.learning_rate=3e-4` and the like, each over what the file says.
    :raises InputError: the file is missing or no YAML, or a field is unknown, missing or wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: there is no such recipe") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected fields such as name and text, found {type(data).__name__}")
    for change in changes:
        _change(data, change)
    return _validated(data, str(path))


def _validated(data: dict[str, Any], source: str) -> Recipe:
    """Read fields; what is wrong is named with the file or recipe that it came from."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{source}: field {field!r}: {first['msg'].removeprefix('Value error, ')}") from None


def _change(data: dict[str, Any], change: str) -> None:
    """Set one field, named by its path."""
    place, equals, value = change.partition("=")
    if not equals or not place.rpartition(".")[2]:
        raise InputError(
            f"--set {change!r}: expected a field and a value, such as text.finetune.learning_rate=3e-4"
        )
    # YAML reads 3e-4 as text; pydantic makes it a number where a number is wanted
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {change!r}: its value is not YAML: {getattr(error, 'problem', error)}"
        ) from None
    _put(data, place, read, f"--set {change!r}")


def _put(data: dict[str, Any], place: str, value: Any, source: str = "") -> None:
    """Set one field of nested fields."""
    *folders, name = place.split(".")
    for folder in folders:
        if data.get(folder) is None:
            data[folder] = {}
        data = data[folder]
        if not isinstance(data, dict):
            raise InputError(f"{source or place}: {folder!r} holds no fields")
    data[name] = value


def _plain(model: BaseModel) -> dict[str, Any]:
    """JSON-ready fields; those that are None are left out."""
    fields = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if value is not None:
            fields[name] = _plain(value) if isinstance(value, BaseModel) else _listed(value)
    return fields


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
