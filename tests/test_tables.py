"""The tables of docs/results.md are what the JSON files say, and every benchmark still imports."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "benchmarks" / "tables.py"


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(SOURCE.parent))  # scripts find each other
    spec = importlib.util.spec_from_file_location("benchmark_tables", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(SOURCE.parent))
    return module


def score(mean: float, sd: float | None = 0.25) -> dict[str, float | None]:
    return {"mean": mean, "sd": sd}


def row(model: str, validation: float, test: float, **fields) -> dict:
    scores = {"weighted_f1": score(test), "accuracy": score(66.0), "macro_f1": score(50.04)}
    return {
        "model": model,
        "seeds": [0, 1, 2],
        "validation": {"weighted_f1": score(validation)},
        "test": {**scores, "ece": score(0.0312, 0.004)},
        **fields,
    }


def corpus(**fields) -> dict:
    return {
        "corpus": "MELD-7",
        "turns": {"validation": 1109, "test": 2610},
        "embeddings": "MiniLM, fine-tuned.",
        "rows": [row("mixture", 61.0, 65.2, variant="tuned"), row("bc-lstm", 60.0, 65.9)],
        **fields,
    }


def test_a_corpus_is_a_heading_and_its_rows_the_best_on_validation_bold(tables, tmp_path):
    published = [{"system": "MiSTER-E", "weighted_f1": 69.5, "differs": "about 15 B parameters"}]
    (tmp_path / "meld.json").write_text(json.dumps(corpus(published=published)))
    lines = tables.results(tmp_path).splitlines()
    assert lines[0] == "### MELD-7"
    assert lines[2] == "1,109 turns of validation, 2,610 of test. MiniLM, fine-tuned."
    assert lines[6] == (
        "| **mixture, tuned** | **3** | **61.0 ± 0.2** | **65.2 ± 0.2** | **66.0 ± 0.2** | **50.0 ± 0.2** |"
        " **0.031 ± 0.004** |"
    )
    assert lines[7] == "| bc-lstm | 3 | 60.0 ± 0.2 | 65.9 ± 0.2 | 66.0 ± 0.2 | 50.0 ± 0.2 | 0.031 ± 0.004 |"
    assert lines[-1] == "| MiSTER-E | 69.5 | about 15 B parameters |"
    widths = {line.count("|") for line in lines[4:8]}
    assert widths == {8}


def test_corpora_come_in_the_order_of_their_files_and_one_run_has_no_deviation(tables, tmp_path):
    majority = row("majority", 30.0, 31.0, seeds=None)
    majority["test"]["weighted_f1"] = score(31.0, None)
    (tmp_path / "b.json").write_text(json.dumps(corpus(corpus="MOSI-2", rows=[majority])))
    (tmp_path / "a.json").write_text(json.dumps(corpus()))
    text = tables.results(tmp_path)
    assert text.index("### MELD-7") < text.index("### MOSI-2")
    assert "| **majority** | **-** | **30.0 ± 0.2** | **31.0** |" in text
    assert "published" not in text


def test_a_missing_field_is_named_with_its_file(tables, tmp_path):
    broken = corpus()
    del broken["rows"][1]["test"]["ece"]
    (tmp_path / "meld.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match=r"meld\.json: no field 'ece'"):
        tables.results(tmp_path)


def test_the_part_goes_between_its_comments(tables, tmp_path):
    (tmp_path / "meld.json").write_text(json.dumps(corpus()))
    page = "# Results\n<!-- results: written by benchmarks/tables.py -->\nold\n<!-- /results -->\nafter\n"
    filled = tables.put_part(page, "results", tables.results(tmp_path))
    assert "old" not in filled
    assert filled.endswith("<!-- /results -->\nafter\n")
    assert tables.put_part(filled, "results", tables.results(tmp_path)) == filled


def test_a_bundled_model_is_one_row(tables, tmp_path, monkeypatch):
    (tmp_path / "weights").write_bytes(bytes(2_600_000))
    scores = {
        "text": {"turns": 10, "weighted_f1": 59.25, "interval": [56.9, 61.44]},
        "voice": {"turns": 5, "weighted_f1": 64.6},
        "voice: nemo": {"turns": 5, "weighted_f1": 60.5},
    }
    config = {"name": "mini", "scores": scores, "terms": "research: MELD is TV", "folder": str(tmp_path)}
    monkeypatch.setattr(tables, "bundled", lambda: [config, config | {"name": "other"}])
    lines = tables.models().splitlines()
    assert lines[2:] == [
        "| mini | 59.2 (56.9 to 61.4) | 64.6 | 3 MB | research |",
        "| other | 59.2 (56.9 to 61.4) | 64.6 | 3 MB | research |",
    ]
    assert {line.count("|") for line in lines} == {6}


@pytest.mark.parametrize("path", sorted(SOURCE.parent.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_finds_all_that_it_imports(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)  # they import each other
    for other in SOURCE.parent.glob("*.py"):
        monkeypatch.delitem(sys.modules, other.stem, raising=False)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    assert module.main.__doc__


def test_the_tables_of_cutting_have_a_row_a_way(tables):
    names = ("two_voices", "changes_found", "median_turn", "short_turns", "turns_a_minute", "cpu")
    scores = dict.fromkeys(names, 1.5) | {"cpu": None}
    judged = {
        "right": 50.0,
        "right_in_turns": 60.0,
        "right_macro": 40.0,
        "right_overlapped": None,
        "ece": 0.05,
    }
    ways = {"pauses": scores | {"emotions": judged, "by voice": judged}}
    context = {
        "val": {"whole": {"mean": 60.8}, "from 5 words": {"mean": 59.7}},
        "test": {"whole": {"mean": 59.0}},
    }
    text = tables.cutting_tables.cutting({"reporting": ways, "sample": {"true": scores}, "context": context})
    assert "| joined clips of unseen voices | pauses | 1.5 | 1.5 | 1.5 | 1.5 | 1.5 | - |" in text
    assert "| test voices: sound alone | pauses | 50 | 60 | 40 | - | 0.05 |" in text
    assert "| test | 59 | - |" in text


def test_the_table_of_confidence_tells_before_and_after(tables):
    row = {"turns": 9, "before": 0.1, "after": 0.05}
    noted = {"turns": 30, "crosstalk": 4, "noted": 0, "precision": None, "recall": 0.0}
    result = {"calibration": {"wordless": 0.9, "crosstalk": 1.2}, "wordless": row, "crosstalk": row}
    text = tables.cutting_tables.confidence({"mini": result | {"rule": {"meetings": noted}}})
    assert "| mini | crosstalk | 9 | times 1.2 | 0.1 | 0.05 |" in text
    assert text.endswith("| meetings | 30 | 4 | 0 | - | 0 |")
