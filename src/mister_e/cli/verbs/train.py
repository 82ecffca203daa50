"""`mister-e train`: the mixture of a recipe, on stored embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mister_e.cli.messages import exit_codes, say
from mister_e.cli.options import (
    Changes,
    Debug,
    Quiet,
    RecipeFile,
    Seeds,
    StoreFolder,
    VoiceEncoderName,
    VoiceStoreFolders,
    out_option,
)
from mister_e.cli.outputs import to_stdout
from mister_e.cli.progress import progress_bar

EPILOG = """
**Examples**

The mixture of a recipe: `mister-e train recipes/meld/mini.yaml --data stores/meld -o runs/meld`

Two seeds, another rate: `mister-e train mini.yaml --data stores/meld -o runs/try --seed 0 --seed 1
--set mixture.train.learning_rate=1e-4`

With the voices of other corpora, for a recipe with `pairing:`:
`mister-e train recipes/mini.yaml --data stores/meld --voices stores/ravdess --voices stores/nemo
--speech runs/mini-speech/seed-0 -o runs/mini`

The epoch is chosen on the validation split; the test split is never read: that is for `mister-e evaluate`.

**Exit codes**: 0 all well; 1 a failure; 2 bad input; 130 Ctrl-C (run again: it goes on where it was).
"""


def train(
    recipe: RecipeFile,
    data: StoreFolder,
    out: Annotated[Path, out_option("RUN", "Folder of the runs.")],
    voices: VoiceStoreFolders = None,
    speech: VoiceEncoderName = None,
    seed: Seeds = None,
    change: Changes = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train the mixture of experts of a recipe on stored embeddings; chosen on validation."""
    with exit_codes(debug):
        from mister_e.training.recipe import read_recipe

        read = read_recipe(recipe, change or ())
        read.stage2()
        from mister_e.encoders.store import EmbeddingStore
        from mister_e.files import write_text

        store = EmbeddingStore.load(data)
        with progress_bar(quiet) as progress:
            from mister_e.training.stage2.pairing import VoiceStores
            from mister_e.training.stage2.run import run_stage2

            paired = VoiceStores.load(voices or (), speech)
            summary = run_stage2(read, store, out, seeds=seed or (), voices=paired, progress=progress)
        write_text(out / "recipe.yaml", read.to_yaml())
        to_stdout(_render(summary))
        if not quiet:
            for note in summary["notes"]:
                say("note", note)
            say("wrote", str(out))


def _render(summary: dict[str, Any]) -> str:
    """What was trained, and how well it does on validation."""
    from mister_e.metrics.summary import mean_std_text

    score, error = summary["validation_weighted_f1"], summary["validation_ece"]
    return (
        f"{summary['recipe']} · {summary['corpus']} · seeds: {len(summary['seeds'])}"
        f" · {summary['parameters']:,} parameters\n"
        f"validation: weighted F1 {mean_std_text(score)}, ECE {error['mean']:.3f}\n"
    )
