"""What the page says of following the advice: each fold's regret, each rule's mean, and whether that is what was aimed at."""

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

from page_parts.advised import advised  # noqa: E402
from page_parts.markdown import written  # noqa: E402


def fold(chosen: str, **recall: float) -> dict[str, Any]:
    return {"advised": chosen, "mean_recall": {name.replace("_", "-"): value for name, value in recall.items()}}


RECORD = {
    "magnetic-tile/0": fold("own", none=0.5, class_mean=0.4, own=0.7),
    "textiles/1": fold("none", none=0.9, class_mean=0.9375, own=0.8),
}


def lines(record: dict[str, Any], language: str = "en") -> list[str]:
    return written(advised(record), language, "").splitlines()


def test_each_fold_and_each_rule_with_its_regret() -> None:
    told = lines(RECORD)
    assert "| magnetic tiles, 1 | `own` | .000 | .500 | .400 | **.700** |" in told
    assert "| simulated textiles, 2 | `none` | .037 | .900 | **.938** | .800 |" in told
    assert "| what `distill advise` advises | .019 | .037 |" in told
    assert "| always `none` | .119 | .200 |" in told
    assert "| always `own` | .069 | .137 |" in told
    assert told[-1].endswith("less than always `class-mean` and always `own`: **reached** (.019 in 2 outer folds).")
    assert lines(RECORD, "ja")[-1].endswith("**達成**（外側の分割 2 個で .019）。")


@pytest.mark.parametrize(
    "other",
    [
        fold("none", none=0.8, class_mean=0.7, own=0.9),  # .05 on average
        fold("none", none=0.99, class_mean=1.0, own=1.0),  # .005, no less than always own
    ],
)
def test_a_rule_that_always_takes_one_way_may_be_as_good(other: dict[str, Any]) -> None:
    told = lines({"magnetic-tile/0": fold("own", none=0.5, class_mean=0.4, own=0.7), "magnetic-tile/1": other})
    assert "**not reached**" in told[-1]


def test_a_way_that_some_task_can_not_train_is_no_rule() -> None:
    told = lines({**RECORD, "solar-cells/0": fold("none", none=0.5, own=0.5)})
    assert not any(line.startswith("| always `class-mean`") for line in told)
    assert "| solar cells, 1 | `none` | .000 | **.500** | – | **.500** |" in told
