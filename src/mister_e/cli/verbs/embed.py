"""`mister-e embed`: every turn of a corpus to embeddings, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import CorpusFolder, Debug, EncoderName, Quiet, out_option
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar
from mister_e.errors import InputError
from mister_e.experts import Modality

if TYPE_CHECKING:
    from mister_e.corpora.store import Corpus
    from mister_e.encoders.base import UtteranceEncoder
    from mister_e.encoders.store import Embedded

#: Where in a store the encoder lies that `--speech features` fitted.
FITTED = "features-encoder"

EPILOG = """
**Examples**

What `mister-e finetune` made, and the columns of the table for the speech:
`mister-e embed --data corpora/meld --text runs/meld-text/seed-0 --speech features -o stores/meld`

The bundled model's text encoder: `mister-e embed --data corpora/mine --text mini -o stores/mine`

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: what is embedded is kept).
"""


def embed(
    data: CorpusFolder,
    out: Annotated[Path, out_option("STORE", "The store to fill.")],
    text: EncoderName = None,
    speech: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER",
            show_default=False,
            help="Folder of an encoder or its run, or features: the corpus's own, standardised on train.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Embed every turn of a corpus; what is embedded already is kept, and nothing is computed twice."""
    with exit_codes(debug):
        if text is None and speech is None:
            raise InputError("nothing to embed with: give --text ENCODER, --speech ENCODER, or both")
        with progress_bar(quiet) as progress:
            from mister_e.corpora.store import Corpus
            from mister_e.encoders.store import EmbeddingStore

            corpus = Corpus.load(data)
            names: dict[Modality, str | None] = {"text": text, "speech": speech}
            encoders = [
                (name, _encoder(name, modality, corpus))
                for modality, name in names.items()
                if name is not None
            ]
            store = EmbeddingStore.create(out, corpus)
            done = {
                encoder.modality: store.add(corpus, encoder, name=name, progress=progress)
                for name, encoder in encoders
            }
            if speech == "features":
                # it was fitted here and is nowhere else: mister-e export wants its folder
                encoders[-1][1].save(out / FITTED)
        for modality, splits in done.items():
            to_stdout(render(modality, splits))
        if not quiet:
            say("wrote", str(out))
            if speech == "features":
                say("wrote", f"{out / FITTED}: the encoder that mister-e export --speech takes")


def render(modality: str, splits: dict[str, Embedded]) -> str:
    """Say of each split how many turns were computed, reused and missing."""
    return "".join(
        f"{modality} {split}: {counts.turns:,} turns, {counts.computed:,} computed,"
        f" {counts.reused:,} reused, {counts.missing:,} missing\n"
        for split, counts in splits.items()
    )


def _encoder(name: str, modality: Modality, corpus: Corpus) -> UtteranceEncoder:
    """Find an encoder by what the user called it."""
    from mister_e.encoders.base import on_fastest_device
    from mister_e.encoders.registry import find_encoder, load_encoder

    if modality == "speech" and name == "features":
        from mister_e.encoders.speech.features import FeaturesConfig, FeaturesEncoder

        features = FeaturesEncoder.from_base(FeaturesConfig())
        features.fit(features.examples(list(corpus.conversations("train"))))
        return features
    encoder = load_encoder(find_encoder(name, modality))
    if encoder.modality != modality:
        raise InputError(f"--{modality} {name}: that is an encoder of {encoder.modality}")
    return on_fastest_device(encoder)
