"""`mister-e baselines`: what the mixture must beat, on the same embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import Debug, Quiet, StoreFolder, out_option, seed_option
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar

EPILOG = """
**Examples**

All of them, five seeds: `mister-e baselines --data stores/meld -o runs/meld-baselines`

Two of them, three seeds: `mister-e baselines --data stores/meld -o runs/try --only mlp --only bc-lstm
--seed 0 --seed 1 --seed 2`

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: what is finished is kept).
"""

#: Of those that a seed changes.
_SEEDS = (0, 1, 2, 3, 4)


def baselines(
    data: StoreFolder,
    out: Annotated[Path, out_option("DIR", "Folder for the results.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="all",
            help="majority, logistic-regression, mlp, bc-lstm or transformer. May be repeated.",
        ),
    ] = None,
    seed: Annotated[list[int] | None, seed_option("0 to 4")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train simple models on a store: chosen on validation, each scored on test once."""
    with exit_codes(debug):
        from mister_e.encoders.store import EmbeddingStore

        store = EmbeddingStore.load(data)
        with progress_bar(quiet) as progress:
            from mister_e.evaluation.baselines import BASELINES, markdown, run_baselines

            summary = run_baselines(
                store, out, seeds=seed or _SEEDS, names=only or tuple(BASELINES), progress=progress
            )
        to_stdout(markdown(summary))
        if not quiet:
            say("wrote", str(out))
