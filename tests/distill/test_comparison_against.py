"""Policies held against several baselines by the same draws: what a comparison with each baseline alone would say."""

from typing import Any

import pytest
from toy_scores import random_runs

from distill.evaluation.comparison import compare_runs
from distill.evaluation.intervals import Difference
from distill.reports.answer import answer
from distill.reports.caveats import caveats
from distill.reports.comparison_page import comparison_page
from distill.reports.console import difference_sentences
from embedstore.errors import TrainingError

RUNS = random_runs(0, ["a", "b", "c"])


def by_name(one: Difference) -> tuple[str, str, str]:
    return one.baseline, one.policy, one.figure


def test_further_baselines_say_what_each_would_say_alone() -> None:
    alone = [compare_runs(RUNS, good="good", overkill=0.05, baseline=name, resamples=50) for name in "abc"]
    together = compare_runs(RUNS, good="good", overkill=0.05, baseline="a", against=["c", "a", "b"], resamples=50)
    assert sorted(together.differences, key=by_name) == sorted(
        (one for comparison in alone for one in comparison.differences), key=by_name
    )
    assert list(dict.fromkeys(one.baseline for one in together.differences)) == ["a", "c", "b"]


def test_a_report_under_the_first_ones_name_tells_nothing_of_the_others() -> None:
    options: dict[str, Any] = {"good": "good", "overkill": 0.05, "baseline": "a", "resamples": 50}
    alone, together = compare_runs(RUNS, **options), compare_runs(RUNS, against=["b", "c"], **options)
    assert len(together.differences) > len(alone.differences)
    assert together.against_baseline == alone.differences
    assert answer(together) == answer(alone)
    assert caveats(together) == caveats(alone)
    assert difference_sentences(together) == difference_sentences(alone)
    assert comparison_page(together) == comparison_page(alone)


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(TrainingError, match="The baseline 'd' is not among the policies"):
        compare_runs(RUNS, good="good", overkill=0.05, against=["d"], resamples=5)
