import pytest

from mister_e.analysis.wording import amount, clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (57.6, "0:57"),
        (59.9, "0:59"),
        (61, "1:01"),
        (3600, "1:00:00"),
        (36_061, "10:01:01"),
        (1e300, "1e+300 s"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_an_amount_below_a_second_has_tenths():
    assert [amount(seconds) for seconds in (0.0, 0.94, 1.0, 61.0)] == ["0.0 s", "0.9 s", "0:01", "1:01"]
