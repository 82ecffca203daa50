"""What `make mutants` plants, and the tests that it asks; on a module of a few lines."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut")

SOURCE = Path(__file__).parents[1] / "benchmarks" / "mutants.py"
CODE = '''"""Not 1 of these < words."""

LIMIT: int = 3


def f(x: int, y: bool = True) -> str:
    """Nor 2 of those."""
    if x < LIMIT:
        raise ValueError(f"{x} < 3, " + "no")
    log.info("a word", 4)
    return "yes" if y else "no"
'''


@pytest.fixture(scope="module")
def mutants():
    spec = importlib.util.spec_from_file_location("benchmark_mutants", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_code_is_changed_and_not_what_people_read(mutants):
    module = mutants.Module("mister_e/model/some.py", CODE)
    assert module.lines == [3, 6, 8, 11]
    found = [(m.line, m.before, m.after) for line in module.lines for m in module.mutants(line)]
    assert {(line, after) for line, _, after in found} >= {
        (3, "LIMIT: int = None"),
        (6, "False"),
        (8, "<= LIMIT"),
        (11, '"XXyesXX"'),
        (11, '"XXnoXX"'),
    }
    sources = [m.source for line in module.lines for m in module.mutants(line)]
    assert CODE.replace("x < LIMIT", "x <= LIMIT") in sources
    for source in sources:
        lines = [(a, b) for a, b in zip(CODE.splitlines(), source.splitlines(), strict=True) if a != b]
        assert len(lines) == 1


def test_the_same_seed_draws_the_same_mutants(mutants):
    first, again, other = (mutants.sample(["metrics"], 5, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({(mutant.file, mutant.line) for mutant in first}) == 5
    assert {mutant.folder for mutant in first} == {"metrics"}
    for mutant in first:
        code = (mutants.SOURCE / mutant.file).read_text(encoding="utf-8")
        assert mutant.source != code
        assert mutant.before in code


def test_a_module_is_tested_by_those_that_import_it_and_by_its_folder(mutants):
    importing, others = mutants.test_files("mister_e/training/loop.py")
    tests = Path(__file__).parent
    assert tests / "training" / "test_loop.py" in importing
    assert tests / "training" / "test_recipe.py" in others
    assert not set(importing) & set(others)
    importing, _ = mutants.test_files("mister_e/training/losses.py")
    assert tests / "training" / "test_losses.py" in importing
    assert tests / "training" / "test_loop.py" not in importing
