"""`mister-e finetune`: an encoder of turns, from a recipe and a prepared corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import Changes, Debug, Quiet, RecipeFile, Seeds, out_option
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar

EPILOG = """
**Examples**

The text encoder of a recipe: `mister-e finetune recipes/meld/mini.yaml --data corpora/meld -o runs/meld-text`

Two seeds, another rate, and the test split at the end:
`mister-e finetune mini.yaml --data corpora/meld -o runs/try --seed 0 --seed 1
--set text.finetune.learning_rate=5e-5 --test`

The speech encoder of a recipe that names corpora, in `corpora/NAME` each:
`mister-e finetune recipes/mini.yaml --part speech --data corpora -o runs/voice`

The network that tells changes of voice, from folders of clips as they lie, `clips/NAME/manifest.csv`:
`mister-e finetune recipes/voice-changes.yaml --part voices --data clips -o runs/voice-changes`

Several processes: `accelerate launch -m mister_e finetune paper.yaml --data corpora/meld -o runs/meld`

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: it goes on where it was).
"""


def finetune(
    recipe: RecipeFile,
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="CORPUS",
            show_default=False,
            help="A prepared corpus, or a folder of the corpora that the recipe names (for the part voices:"
            " of folders of clips). May be repeated.",
        ),
    ],
    out: Annotated[Path, out_option("RUN", "Folder of the runs.")],
    part: Annotated[
        Literal["text", "speech", "voices"],
        typer.Option(help="Which encoder of the recipe; voices: what tells changes of voice."),
    ] = "text",
    seed: Seeds = None,
    change: Changes = None,
    test: Annotated[
        bool, typer.Option("--test", help="Score the kept encoders on the test split, once.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fine-tune the text or the speech encoder of a recipe to classify turns; chosen on validation."""
    with exit_codes(debug):
        from mister_e.training.recipe import read_recipe

        read = read_recipe(recipe, change or ())
        from mister_e.files import write_text

        with progress_bar(quiet) as progress:
            if part == "voices":
                from mister_e.training.voices.run import run_voices

                chosen, seeds = read.voice_changes(), tuple(seed or read.seeds)
                summary = run_voices(read.name, chosen, data, out, seeds, test=test, progress=progress)
            else:
                read.part(part)
                from mister_e.training.stage1.run import find_corpora, run_stage1

                corpora = find_corpora(read.part(part), data)
                summary = run_stage1(read, part, corpora, out, seeds=seed or (), test=test, progress=progress)
        write_text(out / "recipe.yaml", read.to_yaml())
        to_stdout(_render(summary))
        if not quiet:
            say("wrote", str(out))


def _render(summary: dict[str, Any]) -> str:
    """One line a split."""
    from mister_e.metrics.summary import mean_std_text

    seeds = len(summary["seeds"])
    lines = [f"{summary['recipe']} · {summary['part']} · {summary['corpus']} · seeds: {seeds}"]
    for split in ("validation", "test"):
        for name, title in (("weighted_f1", "weighted F1"), ("auc", "AUC of changes")):
            score = summary.get(f"{split}_{name}")
            if score:
                lines.append(f"{split}: {title} {mean_std_text(score)}")
    return "\n".join(lines) + "\n"
