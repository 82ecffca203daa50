"""`mister-e ablate`: what each part of a recipe's mixture brings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import Changes, Debug, Quiet, RecipeFile, Seeds, StoreFolder, out_option
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar

EPILOG = """
**Examples**

All variants: `mister-e ablate recipes/meld/mini.yaml --data stores/meld -o ablation/meld`

Two of them, with five seeds: `mister-e ablate mini.yaml --data stores/meld -o ablation/meld
--variant full --variant "without GRU" --seed 0 --seed 1 --seed 2 --seed 3 --seed 4`

Every variant chooses its epoch on validation, and is scored on test once, when it is trained.

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: it goes on where it was).
"""


def ablate(
    recipe: RecipeFile,
    data: StoreFolder,
    out: Annotated[Path, out_option("DIR", "Folder of the variants.")],
    seed: Seeds = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default="all", help="Which variant. May be repeated."),
    ] = None,
    change: Changes = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train variants of a recipe's mixture, each without one of its parts, and tabulate their scores."""
    with exit_codes(debug):
        from mister_e.training.recipe import read_recipe

        read = read_recipe(recipe, change or ())
        read.stage2()
        from mister_e.encoders.store import EmbeddingStore
        from mister_e.files import write_text

        store = EmbeddingStore.load(data)
        with progress_bar(quiet) as progress:
            from mister_e.evaluation.ablation import VARIANTS, to_markdown
            from mister_e.evaluation.ablation import ablate as run

            table = run(
                read, store, out, seeds=seed or (), variants=variant or tuple(VARIANTS), progress=progress
            )
        write_text(out / "recipe.yaml", read.to_yaml())
        to_stdout(to_markdown(table))
        if not quiet:
            say("wrote", str(out))
