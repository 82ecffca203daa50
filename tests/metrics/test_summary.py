import statistics

import pytest

from mister_e.metrics.summary import mean_std, mean_std_by_name, mean_std_text


def test_mean_and_sample_deviation_and_none_for_one_seed():
    values = [60.12, 61.5, 58.0]
    assert mean_std(values) == {
        "mean": pytest.approx(statistics.mean(values)),
        "sd": pytest.approx(statistics.stdev(values)),
    }
    assert mean_std([50.0]) == {"mean": 50.0, "sd": None}
    assert mean_std([50.0, 51.0, 51.0], places=2) == {"mean": 50.67, "sd": 0.58}
    assert mean_std([1 / 3], places=2) == {"mean": 0.33, "sd": None}


def test_scores_that_some_seed_lacks_are_left_out_and_errors_keep_more_places():
    rows = [{"f1": 1 / 3, "ece": 1 / 3, "extra": 1.0}, {"ece": 1 / 3, "f1": 1 / 3}]
    assert list(mean_std_by_name(rows)) == ["f1", "ece"]
    assert mean_std_by_name(rows)["f1"] == {"mean": 0.3333, "sd": 0.0}
    assert mean_std_by_name(rows)["ece"] == {"mean": 0.333333, "sd": 0.0}


def test_one_seed_is_written_without_a_deviation():
    assert mean_std_text(mean_std([50.0])) == "50.0"
    assert mean_std_text(mean_std([50.0, 52.0])) == "51.0 ± 1.4"
    assert mean_std_text(mean_std([0.1, 0.2]), 3) == "0.150 ± 0.071"
