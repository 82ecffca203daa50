"""What a map of the code relies on: no circle of files, and files and folders that fit in one head.

Which room may import which is in pyproject.toml, as contracts that `make check` runs.
"""

from __future__ import annotations

import graphlib
from pathlib import Path

import grimp
import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mister_e"

MAX_LINES = 400
MAX_FILES = 12


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module to the modules that it imports, also inside functions; not those for type checkers alone."""
    graph = grimp.build_graph("mister_e", exclude_type_checking_imports=True, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none = there is no circle."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_no_files_import_each_other_in_a_circle(imports):
    assert len(imports) > 100  # the graph is of this package
    assert circle(imports) == []


def test_no_file_is_longer_than_one_head_can_hold():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    long = {str(path.relative_to(SOURCE)): lines for path, lines in lengths.items() if lines > MAX_LINES}
    assert long == {}


def test_no_folder_holds_more_than_a_dozen_files():
    folders = [SOURCE, *(path for path in SOURCE.rglob("*") if path.is_dir())]
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    full = {str(folder.relative_to(SOURCE)): count for folder, count in counts.items() if count > MAX_FILES}
    assert full == {}
