"""Plant small mistakes in the package, one at a time, and count those that its tests notice.

    python benchmarks/mutants.py                      # what `make mutants` runs
    python benchmarks/mutants.py --folders model metrics --sample 20 --seed 1

A mistake ("mutant") is one change by the operators of `mutmut`: another comparison, number, argument, word or
branch. Lines are drawn with a seed, and one mutant of each. It is planted in a copy of `src/` that the tests
import, so that the working tree stays as it is. First the fast tests run of the files that import the module
and of those in the folder of the same name, then the slow ones of the former, then those that go the whole
road by its commands, until one fails. Printed at the end: noticed and planted, by folder, and as JSON the
mutants that survived. A survivor is a test to write, or a change that changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PACKAGE = "mister_e"
FOLDERS = ("model", "metrics", "inference", "training", "encoders")
#: Code that no test is about: annotations, decorators, imports, docstrings, what errors and logs say.
SKIPPED = (
    m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Expr(value=m.SimpleString() | m.ConcatenatedString())
    | m.Raise()
    | m.Call(func=m.Attribute(value=m.Name("log")))
)
#: Tests that are about all modules.
GENERAL = (ROOT / "tests" / "test_public_names.py",)
#: Tests that go the whole road by its commands, and import nothing that they are about.
ROADS = (ROOT / "tests" / "test_road.py", ROOT / "tests" / "cli" / "test_stage1.py")
#: Seconds that a mutant's tests may take besides three times what they take without it.
PATIENCE = 60
#: Tests of a round, as pytest's `-m` has it.
FAST, SLOW = "not slow", "slow"
#: Exit code of pytest where no test was chosen.
NO_TESTS = 5


class Round(NamedTuple):
    """Tests that run together: files, `-m` of pytest, and the seconds after which they count as failed."""

    files: Sequence[Path]
    marker: str
    timeout: float


@dataclass(frozen=True)
class Mutant:
    """A planted mistake: file inside `src/`, line from 1, the code there, what replaces it, the module."""

    file: str
    line: int
    before: str
    after: str
    source: str

    @property
    def folder(self) -> str:
        """Folder of the package that it is in."""
        return Path(self.file).parts[1]


class _Collector(cst.CSTVisitor):
    """Collects what the operators make of the nodes of a module, by the line that a node begins on."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[int, list[tuple[cst.CSTNode, cst.CSTNode]]] = {}

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Apply the operators to a node; tell whether to go on into it."""
        if m.matches(node, SKIPPED):
            return False
        position = self.get_metadata(PositionProvider, node, None)
        for kind, operator in mutation_operators:
            if position is not None and isinstance(node, kind):
                changes = list(operator(node))
                # a word in other letters is the same mistake as another word
                changes = changes[:1] if isinstance(node, cst.SimpleString) else changes
                self.changes.setdefault(position.start.line, []).extend((node, new) for new in changes)
        return True


class Module:
    """A module and the mutants of its lines.

    :param file: its path inside `src/`.
    :param code: of it.
    """

    def __init__(self, file: str, code: str) -> None:
        self.file, self.code = file, code
        wrapper = MetadataWrapper(cst.parse_module(code), unsafe_skip_copy=True)
        collector = _Collector()
        wrapper.visit(collector)
        self.tree, self.changes = wrapper.module, collector.changes

    @property
    def lines(self) -> list[int]:
        """Lines that have mutants."""
        return sorted(line for line, changes in self.changes.items() if changes)

    def mutants(self, line: int) -> Iterator[Mutant]:
        """Give the mutants of a line that are Python, and other code than the module's."""
        render = self.tree.code_for_node
        for node, new in self.changes[line]:
            source = self.tree.deep_replace(node, new).code  # type: ignore[union-attr]
            if source != self.code and _compiles(source, self.file):
                yield Mutant(self.file, line, render(node).strip(), render(new).strip(), source)


def _compiles(source: str, file: str) -> bool:
    try:
        compile(source, file, "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def sample(folders: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Draw lines of the package, and a mutant of each: the same ones for a seed and a source.

    :param folders: of the package.
    :param count: lines together.
    :param seed: of the draw.
    """
    chosen = random.Random(seed)
    paths = [path for folder in folders for path in sorted((SOURCE / PACKAGE / folder).rglob("*.py"))]
    modules = [
        Module(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")) for path in paths
    ]
    lines = [(module, line) for module in modules for line in module.lines]
    chosen.shuffle(lines)
    drawn: list[Mutant] = []
    for module, line in lines:
        if len(drawn) == count:
            break
        if mutants := list(module.mutants(line)):
            drawn.append(chosen.choice(mutants))
    return drawn


def test_files(file: str) -> tuple[list[Path], list[Path]]:
    """List the test files that a module is tested by.

    :param file: path of the module inside `src/`.
    :return: those that import it, and others: those in the folder of its name, and those about all modules.
    """
    module = Path(file).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")
    parent, _, name = module.rpartition(".")
    imports = re.compile(
        rf"(from|import) {re.escape(module)}\b(?!\.)|from {re.escape(parent)} import [^\n]*\b{name}\b"
    )
    every = sorted((ROOT / "tests").rglob("test_*.py"))
    importing = [path for path in every if imports.search(path.read_text(encoding="utf-8"))]
    folder = ROOT / "tests" / Path(file).parts[1]
    others = [path for path in every if folder in path.parents or path in GENERAL]
    return importing, [path for path in others if path not in importing]


class Runner:
    """Runs tests on a copy of `src/` of its own.

    :param folder: for the copy, and for what tests write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, folder / "src"
        shutil.copytree(
            SOURCE, self.source, copy_function=_copy, ignore=shutil.ignore_patterns("__pycache__")
        )
        # by content: the time of a file that changes twice a second tells nothing
        compiled = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(self.source)]
        subprocess.run([sys.executable, *compiled], check=True)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "OMP_NUM_THREADS": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        }
        imported = subprocess.run(
            [sys.executable, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if not Path(imported.strip()).is_relative_to(self.source):
            raise SystemExit(f"the tests would import {imported.strip()}, not the copy in {self.source}")

    def test(self, files: Sequence[Path], *options: str, timeout: float | None = None) -> int | None:
        """Run test files; give pytest's exit code, None = they took longer than `timeout` seconds."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        command += [f"--basetemp={self.folder / 'tmp'}", *options, *map(str, files)]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)  # with what its tests started
                return None

    def times(self, files: Sequence[Path], marker: str) -> dict[Path, float]:
        """Run test files as they are; give the seconds of each.

        :param files: of tests.
        :param marker: which of their tests, as pytest's `-m` has it.
        :raises SystemExit: one of them fails, and would notice anything.
        """
        report = self.folder / "times.xml"
        report.unlink(missing_ok=True)
        code = self.test(files, "-m", marker, f"--junitxml={report}")
        if not report.is_file():
            raise SystemExit(f"the tests ended with exit code {code} before they could report")
        seconds = dict.fromkeys(files, 0.0)
        by_name = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
        failed = []
        for case in ElementTree.parse(report).iter("testcase"):
            name = str(case.get("classname"))
            path = next((by_name[n] for n in (name, name.rpartition(".")[0]) if n in by_name), None)
            if path is not None:
                seconds[path] += float(case.get("time") or 0)
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{name}::{case.get('name')}")
        if code not in (0, NO_TESTS) or failed:
            raise SystemExit(f"tests fail without any mutant (exit code {code}): {', '.join(failed)}")
        return seconds

    def notices(self, mutant: Mutant, rounds: Sequence[Round]) -> bool:
        """Plant a mutant and say whether the tests notice it; one that never ends is noticed.

        :param mutant: to plant.
        :param rounds: of tests; one that notices it is the last.
        """
        path = self.source / mutant.file
        plain = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            return any(
                self.test(files, "-x", "-m", marker, timeout=timeout) not in (0, NO_TESTS)
                for files, marker, timeout in rounds
                if files
            )
        finally:
            path.write_text(plain, encoding="utf-8")


def _copy(source: str, target: str) -> str:
    """Copy code; weights are the same files, where that can be: a model folder holds no symbolic links."""
    if not source.endswith(".py"):
        with contextlib.suppress(OSError):
            Path(target).hardlink_to(source)
            return target
    return str(shutil.copyfile(source, target))


def run(mutants: Sequence[Mutant], workers: int, minutes: float) -> dict[Mutant, bool]:
    """Plant mutants one by one; say of each whether it was noticed.

    :param mutants: in the order in which they are planted.
    :param workers: mutants at a time.
    :param minutes: after which no other one is planted.
    """
    began = time.monotonic()
    files = {mutant.file: test_files(mutant.file) for mutant in mutants}
    every = sorted({path for importing, others in files.values() for path in importing + others})
    slow = sorted({path for importing, _ in files.values() for path in importing} | set(ROADS))
    noticed: dict[Mutant, bool] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        runners: Queue[Runner] = Queue()
        for number in range(workers):
            runners.put(Runner(Path(folder) / str(number)))
        print(f"{len(every)} test files, first without a mutant", file=sys.stderr, flush=True)

        def measure(part: tuple[str, Sequence[Path]]) -> tuple[str, dict[Path, float]]:
            runner = runners.get()
            try:
                return part[0], runner.times(part[1], part[0])
            finally:
                runners.put(runner)

        parts = [(SLOW, slow[i::workers]) for i in range(workers)]
        parts += [(FAST, every[i::workers]) for i in range(workers)]
        seconds: dict[str, dict[Path, float]] = {FAST: {}, SLOW: {}}
        for marker, measured in pool.map(measure, [part for part in parts if part[1]]):
            seconds[marker] |= measured
        print(f"they pass, after {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr, flush=True)

        def round_of(paths: Sequence[Path], marker: str) -> Round:
            return Round(paths, marker, PATIENCE + 3 * sum(seconds[marker][path] for path in paths))

        def plant(mutant: Mutant) -> None:
            if time.monotonic() - began > 60 * minutes:
                return
            importing, others = (sorted(paths, key=seconds[FAST].__getitem__) for paths in files[mutant.file])
            rounds = [
                round_of(importing + others, FAST),
                round_of(importing, SLOW),
                round_of([path for path in ROADS if path not in importing], SLOW),
            ]
            runner = runners.get()
            try:
                noticed[mutant] = runner.notices(mutant, rounds)
            finally:
                runners.put(runner)
            result = "noticed " if noticed[mutant] else "SURVIVED"
            before, after = (" ".join(code.split())[:60] for code in (mutant.before, mutant.after))
            print(f"{result} {mutant.file}:{mutant.line}  {before}  ->  {after}", file=sys.stderr, flush=True)

        list(pool.map(plant, mutants))
    return noticed


def table(noticed: Mapping[Mutant, bool]) -> str:
    """Write noticed and planted mutants by folder, and together."""
    rows = []
    folders = sorted({mutant.folder for mutant in noticed})
    for name in [*folders, "together"]:
        results = [result for mutant, result in noticed.items() if name in (mutant.folder, "together")]
        rows.append(f"{name:12} {sum(results):4} of {len(results):4}  {sum(results) / len(results):4.0%}")
    return "\n".join(rows)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", nargs="+", default=FOLDERS, help="of the package")
    parser.add_argument("--sample", type=int, default=100, help="mutants together")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--minutes", type=float, default=30, help="after which no other mutant is planted")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--out", type=Path, help="file for the JSON; default: it is printed")
    arguments = parser.parse_args()
    noticed = run(
        sample(arguments.folders, arguments.sample, arguments.seed), arguments.workers, arguments.minutes
    )
    if not noticed:
        raise SystemExit("no mutant was planted")
    survivors = [
        {name: value for name, value in asdict(mutant).items() if name != "source"}
        for mutant, result in noticed.items()
        if not result
    ]
    result = {
        "seed": arguments.seed,
        "planted": len(noticed),
        "noticed": sum(noticed.values()),
        "survivors": sorted(survivors, key=lambda row: (row["file"], row["line"])),
    }
    print(table(noticed))
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    if arguments.out is None:
        print(text, end="")
    else:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
