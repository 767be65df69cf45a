"""The benchmark of twins in small: pairs across groups, and what their file names say of them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "bench")]

import twins as bench  # noqa: E402

from embedstore.errors import SettingsError  # noqa: E402


def test_pairs_of_united_groups_are_held_against_the_numbers_of_their_captures() -> None:
    groups = {
        "A/exp1_num_100.jpg": "1",
        "A/exp2_num_300.jpg": "2",
        "B/exp1_num_900.jpg": "2",
        "B/exp1_num_120.jpg": "3",
    }
    pairs = bench.united(groups, {"1": "2"})
    assert pairs == [
        ("A/exp1_num_100.jpg", "A/exp2_num_300.jpg"), ("A/exp1_num_100.jpg", "B/exp1_num_900.jpg"),
    ]  # fmt: skip
    assert bench.close(pairs, bench.captures(groups)) == 1
    with pytest.raises(SettingsError, match=r"'other\.png' has no capture number"):
        bench.captures(["other.png"])
