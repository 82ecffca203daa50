"""How much is mutated: `make fuzz` asks for more than the suite does, and for other mutations."""

from __future__ import annotations

import os
from pathlib import Path

#: How many times the mutations of the suite.
TIMES = int(os.environ.get("MISTER_E_FUZZ", "1"))
#: Which mutations.
SEED = int(os.environ.get("MISTER_E_FUZZ_SEED", "0"))


def keep(name: str, data: bytes, otherwise: Path) -> Path:
    """Keep an input that went wrong in the folder that MISTER_E_FUZZ_KEEP names, or another."""
    path = Path(os.environ.get("MISTER_E_FUZZ_KEEP", otherwise)) / name
    path.write_bytes(data)
    return path
