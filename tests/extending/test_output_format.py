"""CONTRIBUTING, "An output format": Markdown, a line a turn."""

from __future__ import annotations

import pytest
from analyses import analysis as make_analysis
from analyses import sample

pytestmark = pytest.mark.slow

METHOD = '''\
    def to_md(self) -> str:
        """Write a Markdown list, one item a turn."""
        return "".join(f"* **{turn.emotion}** {turn.text or ''}\\n" for turn in self)

    def to_srt(self) -> str:
'''
CODE = """
import sys
from pathlib import Path
from mister_e.analysis.result import Analysis
from mister_e.cli.inputs import Found
from mister_e.cli.outputs import choose
from mister_e.cli.writing import Writer

analysis = Analysis.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
writer = Writer(choose([sys.argv[2], "-"], "md", Found((), several=False)))
writer.write_all(analysis)
assert not writer.failures, writer.failures
"""


def test_a_new_format_goes_to_files_and_to_stdout(copy, tmp_path):
    copy.edit("analysis/result.py", ("    def to_srt(self) -> str:\n", METHOD))
    copy.edit("cli/outputs.py", ('"vtt", "html"]', '"vtt", "html", "md"]'))
    branch = '        case "md":\n            return analysis.to_md()\n        case "html":\n'
    copy.edit("cli/writing.py", ('        case "html":\n', branch))
    analysis = make_analysis(sample())
    source, out = tmp_path / "analysis.json", tmp_path / "out.md"
    source.write_text(analysis.to_json(), encoding="utf-8")
    said = copy.python("-c", CODE, source, out)
    assert said == out.read_text(encoding="utf-8")
    assert said.startswith("* **")
    assert len(said.splitlines()) == len(analysis)
    assert "md" in copy.python("-m", "mister_e", "analyze", "--help")
