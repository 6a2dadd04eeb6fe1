import numpy as np
import pytest

from benchmarks.suite import image_difference
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import Spread, TurnError, alternate, ratio, seconds, spread


def test_a_spread_is_the_median_and_the_range_of_80_percent() -> None:
    assert spread([float(value) for value in range(101)]) == Spread(50, 10, 90, 101)


def test_a_ratio_compares_turns_of_the_same_round() -> None:
    ours, theirs = [[1.0, 1.0, 9.0], [10.0]], [[2.0], [20.0, 20.0]]
    assert ratio(ours, theirs) == Spread(0.5, 0.5, 0.5, 2)
    assert seconds(ours).count == 4


def test_each_contender_has_one_turn_in_each_round_and_warm_up_does_not_count() -> None:
    order: list[str] = []

    def contender(name: str) -> list[float]:
        order.append(name)
        return [float(len(order))]

    turns, failed = alternate({name: lambda name=name: contender(name) for name in "abc"}, rounds=20)  # type: ignore[misc]  # mypy knows no default argument of a lambda
    assert failed == {}
    assert {name: len(row) for name, row in turns.items()} == {"a": 20, "b": 20, "c": 20}
    rounds = ["".join(order[i : i + 3]) for i in range(0, 63, 3)]
    assert all(sorted(each) == list("abc") for each in rounds)
    assert len(set(rounds)) > 2, "the order is always the same"


def test_a_contender_that_fails_is_named_and_the_others_continue() -> None:
    left = [1.0, 2.0, 3.0]

    def failing() -> list[float]:
        if not left:
            raise TurnError("out of memory")
        return [left.pop()]

    turns, failed = alternate({"good": lambda: [1.0], "bad": failing}, rounds=3)
    assert failed == {"bad": "out of memory"}
    assert turns == {"good": [[1.0]] * 3}


def test_differences_of_images_are_counted_in_levels() -> None:
    expected = np.random.default_rng(0).integers(10, 200, (3, 32, 32, 3)).astype(np.uint8)
    actual = expected.copy()
    actual[1, 0, 0, 0] += 5
    actual[2, :, :, 0] += 1
    found = image_difference.difference(expected, actual)
    values = 3 * 32 * 32 * 3
    assert found["max"] == 5
    assert found["mean"] == pytest.approx((5 + 1024) / values)
    assert found["histogram"] == {"0": values - 1025, "1": 1024, "5": 1}
    assert found["within_one"] == pytest.approx(1 - 1 / values)
    assert found["psnr_db"] == pytest.approx(10 * np.log10(255**2 * values / (25 + 1024)))
    assert image_difference.worst(expected, actual, 2) == [1, 2]
    assert image_difference.difference(expected, expected)["psnr_db"] is None
    assert image_difference.sheet(expected, actual).shape == (3 * 32, 3 * 32, 3)


def test_ssim_is_one_for_equal_images_and_follows_its_formula_for_flat_ones() -> None:
    low, high = np.full((1, 16, 16, 1), 100, np.uint8), np.full((1, 16, 16, 1), 120, np.uint8)
    assert image_difference.ssim(low, low) == pytest.approx([1.0])
    c1 = (0.01 * 255) ** 2
    assert image_difference.ssim(low, high) == pytest.approx([(2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)], rel=1e-4)


def test_a_table_has_columns_and_shows_a_failure_as_a_sentence() -> None:
    text = Table("Time", ["", "ms", "share"], [["a", "1.00", "2"], ["b", "failed: no memory", ""]], "note").text()
    assert text.splitlines() == ["== Time", "     ms  share", "a  1.00      2", "b  failed: no memory", "note"]
    assert Table("Time", ["", "ms"], [["a", "1"]]).markdown().splitlines()[2:] == [
        "|  | ms |",
        "| --- | --- |",
        "| a | 1 |",
    ]
    assert milliseconds(Spread(0.0123, 0.012, 0.0131, 9)) == "12.3 (12.0 to 13.1)"
    assert times(Spread(0.333, 0.3, 0.41, 9)) == "0.33 (0.30 to 0.41)"
