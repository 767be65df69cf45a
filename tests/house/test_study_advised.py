"""What the page says of following the advice: each fold's regret, each rule's mean, and whether that is what was aimed at."""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import page_parts.advised  # noqa: E402
from advice import FILE, regret  # noqa: E402
from page_parts.advised import advised  # noqa: E402
from page_parts.markdown import share, written  # noqa: E402

from distill.advice.decision import select  # noqa: E402


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
    assert "| magnetic tiles, 1 | `own` | `own` | .700 | .700 | .000 |" in told
    assert "| simulated textiles, 2 | `none` | `class-mean` | .900 | .938 | .037 |" in told
    assert "| what `distill advise` advises | .019 | .037 | .019 |" in told
    assert "| always `none` | .119 | .200 | .119 |" in told
    assert "| always `own` | .069 | .137 | .069 |" in told
    assert told[-1].endswith(
        "and always `own`: **not known yet** (.019 in 2 of 9 outer folds; no interval, since these share parts)."
    )
    assert lines(RECORD, "ja")[-1].endswith(
        "**まだ不明**（外側の分割 9 個のうち 2 個で .019。部品が重なるため区間は出せません）。"
    )


@pytest.mark.parametrize(
    ("folds", "verdict"),
    [
        ([fold("own", none=0.5, class_mean=0.4, own=0.7), fold("none", none=0.9, class_mean=0.8, own=0.6)], "reached"),
        # .05 on average, where always own loses .2 and always the mean .25
        (
            [fold("none", none=0.9, class_mean=0.8, own=0.5), fold("none", none=0.8, class_mean=0.5, own=0.9)],
            "not reached",
        ),
        # .005 on average, no less than always own
        (
            [fold("own", none=0.5, class_mean=0.4, own=0.7), fold("none", none=0.99, class_mean=1.0, own=0.99)],
            "not reached",
        ),
    ],
)
def test_the_aim_is_a_small_regret_and_less_than_that_of_always_one_way(
    folds: list[dict[str, Any]], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_parts.advised, "TASKS", {"magnetic-tile": None})
    monkeypatch.setattr(page_parts.advised, "OUTER", 2)
    told = lines({f"magnetic-tile/{number}": one for number, one in enumerate(folds)})
    assert any(f": **{verdict}** (" in line for line in told)


def test_a_rule_is_held_against_the_way_that_is_best_over_all_folds_of_a_task() -> None:
    record = {
        "textiles/0": fold("own", none=0.5, class_mean=0.7, own=0.9),
        "textiles/1": fold("class-mean", none=0.9, class_mean=0.6, own=0.5),
        "solar-cells/0": fold("none", none=0.4, class_mean=0.6),
    }
    told = lines(record)
    # Textiles: (.9 + .6) / 2, where always none and always own have .7; solar cells: .4, where class-mean has .6.
    assert "| what `distill advise` advises | .167 | .300 | .075 |" in told
    assert "| always `none` | .200 | .400 | .100 |" in told
    assert "| always `class-mean` | .167 | .300 | .025 |" in told


def test_a_way_that_some_task_can_not_train_is_no_rule() -> None:
    told = lines({**RECORD, "solar-cells/0": fold("none", none=0.5, own=0.5)})
    assert not any(line.startswith("| always `class-mean`") for line in told)
    assert "| solar cells, 1 | `none` | `none` | .500 | .500 | .000 |" in told


def test_folds_that_had_part_in_changing_the_rule_do_not_judge_it() -> None:
    seen = {**fold("own", none=0.5, class_mean=0.4, own=0.7), "advised_before": "none"}
    told = lines({"magnetic-tile/0": seen})
    assert told[-3].startswith("The rule was changed after 1 of these folds, ")
    assert "There the one before lost .200 on average, and this one loses .000, which does not judge it." in told[-3]
    assert told[-1].endswith("**not known yet** (– in 0 of 8 outer folds; no interval, since these share parts).")
    told = lines({"magnetic-tile/0": seen, "textiles/1": RECORD["textiles/1"]})
    assert told[-3].endswith("**not known yet** (.037 in 1 of 8 outer folds; no interval, since these share parts).")
    assert (
        told[-1]
        == "Taken always, these ways lose less in the folds that judge it, which nobody could know before: `class-mean` .000."
    )
    assert "| rule | mean regret | since the rule was changed | the largest | behind the best of each task |" in told
    assert "| what `distill advise` advises | .019 | .037 | .037 | .019 |" in told
    assert "| always `own` | .069 | .137 | .137 | .069 |" in told


def test_what_limits_the_advice_is_how_little_trials_differ_beside_patches() -> None:
    seen = {**fold("none", none=0.5, own_patches=0.7), "trials": {"own-patches": 0.9, "none": 0.5}}
    assert not any(line.startswith("What limits it") for line in lines({"magnetic-tile/0": seen}))
    later = fold("own-patches", none=0.1, none_patches=0.6, own_patches=0.5)
    later["trials"] = {"none": 0.9, "none-patches": 0.5, "own-patches": 0.51}
    old = {**later, "advised_before": "none", "trials": {"none-patches": 0.0, "own-patches": 0.9}}
    told = lines({"textiles/0": old, "textiles/1": later})
    assert "which it mostly chooses, are .010 apart in the trials" in told[-1]
    assert "averaged over these folds) and .100 on the outer fold, where each was trained once." in told[-1]
    assert (
        "試行の判定に使う値では .010、学習が 1 回ずつの外側の分割では .100 です"
        in lines({"textiles/1": later}, "ja")[-1]
    )


def test_what_the_kept_record_says_is_advised_is_what_the_rule_advises() -> None:
    record = json.loads((ROOT / "docs" / "study" / FILE).read_text("utf-8"))
    for name, one in record.items():
        values = one["trials"]
        beside = {way: way.removesuffix("-patches") for way in values if way.endswith("-patches")}
        eligible = [way for way in values if way not in one.get("unlearned", ())]
        assert one["advised"] == select(values, eligible, beside).chosen, name


def test_the_readmes_tell_what_the_advice_and_three_rules_lose_in_the_folds_that_judge_it() -> None:
    record = json.loads((ROOT / "docs" / "study" / FILE).read_text("utf-8"))
    since = [one for one in record.values() if "advised_before" not in one]
    lost = [
        share(math.fsum(regret(one, way or one["advised"]) for one in since) / len(since))
        for way in ("", "class-mean", "own", "trunk-patches")
    ]
    for name, told in (("README.md", "Advice is better"), ("README.ja.md", "推奨（`distill advise`）は")):
        bullet = (ROOT / name).read_text("utf-8").partition(f"- {told}")[2].partition("\n- ")[0]
        assert re.findall(r"(?<!\d)\.\d{3}", bullet) == lost, name
