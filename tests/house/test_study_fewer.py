"""What was trained with fewer seeds, or on fewer folds, stands apart, beside what it is held against, on the same ones."""

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_study import FOLDS, SAMPLES, SEEDS, english, rows, runs_of

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import conditions  # noqa: E402
import pages  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
from page_parts import answer  # noqa: E402
from page_parts.evidence import MAIN, Compared, Evidence  # noqa: E402
from page_parts.markdown import gap_of, share  # noqa: E402

from distill.evaluation.intervals import Difference  # noqa: E402
from embedstore.pages import percent  # noqa: E402

LONG: dict[str, Any] = {"student": "small", "epochs": 100, "pretrain_epochs": 200}


def with_fewer(docs: Path, name: str, like: str, apart: list[float], **about: Any) -> None:
    """Write a condition with as many seeds of the toy study as it says how far defects stand out."""
    known = {"good": "good", "part": "recipes", "method": "own", "peak_memory": None, "curve": [], "jobs": 2}
    known |= {
        "of": None,
        "machine": "2 CPU cores",
        "settings": LONG,
        "says": name,
        "parameters": 300_000,
        "data": "tiles",
    }
    runs = [one for seed, far in enumerate(apart) for one in runs_of(like, far) if one.seed == seed]
    results.write(docs / MAIN, name, {**known, **about}, runs, "good")


@pytest.fixture(scope="module")
def study(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose best student of all seeds, `own-160px`, is not what `own-long` changes, nor the best with the first seed."""
    copied = shutil.copytree(docs, tmp_path_factory.mktemp("fewer") / "study")
    trunk, plain = {"student": "trunk:efficientnet-lite0:5"}, {"method": "none"}
    small, large = {"student": "small"}, {"student": "small", "size": 160, "epochs": 100}
    with_fewer(copied, "own", "class-mean", [2.6, 2.6], part="baselines", bytes=10_000_000, settings=small)
    with_fewer(copied, "k-means-32", "none", [1.0, 1.0], part="summaries", settings=small)
    with_fewer(copied, "rare-25", "none", [1.0, 1.0], part="summaries", settings=small)
    with_fewer(copied, "own-160px", "class-mean", [2.5, 9.0], settings=large)
    with_fewer(copied, "none-160px", "none", [1.2, 1.2], settings=large, **plain)
    with_fewer(copied, "trunk-30", "trunk", [2.2, 2.2], part="baselines", settings=trunk, **plain)
    with_fewer(copied, "own-long", "class-mean", [2.0])
    with_fewer(copied, "own-long-160px", "class-mean", [1.5], settings={**LONG, "size": 160})
    with_fewer(copied, "none-long", "none", [1.0], **plain)
    with_fewer(copied, "own-long-both", "none", [1.0], of="own-long")
    with_fewer(copied, "trunk-30-160px", "trunk", [2.0], settings={**large, **trunk}, **plain)
    with_fewer(copied, "trunk-own-30-160px", "trunk", [1.8], settings={**large, **trunk}, precision="bfloat16")
    patches: dict[str, Any] = {"part": "patches", "method": "patches"}
    with_fewer(copied, "own-long-patches", "trunk", [3.0], of="own-long", **patches)
    with_fewer(copied, "own-patches", "trunk", [2.9, 2.9], of="own", **patches)
    with_fewer(copied, "trunk-30-patches", "trunk", [3.5, 3.5], of="trunk-30", **patches)
    with_fewer(copied, "trunk-30-160px-patches", "trunk", [2.1], of="trunk-30-160px", **patches)
    with_fewer(copied, "trunk-own-30-160px-patches", "trunk", [2.2], of="trunk-own-30-160px", **patches)
    with_fewer(copied, "patches", "trunk", [1.0, 1.0], **patches, settings={})
    return copied


@pytest.fixture(scope="module")
def made(study: Path) -> dict[Path, str]:
    return pages.make(study, resamples=50)


def japanese(made: dict[Path, str]) -> str:
    return next(text for path, text in made.items() if path.name == "rare-defects.ja.md")


def held(text: str, name: str, heading: str) -> list[list[str]]:
    """Return the rows that hold a condition of fewer seeds against others."""
    return [row for row in rows(text, name, heading) if len(row) == 5 and row[1].startswith("`")]


def test_fewer_folds_stand_beside_rivals_on_the_same_each_tested_once(docs: Path) -> None:
    read = results.read(docs / MAIN)
    first = [run for run in read["class-mean"].runs if run.fold == 0]
    read["class-mean"] = results.Finished("class-mean", read["class-mean"].about, first)
    compared = Compared(read, 5)
    assert "class-mean" not in compared.figures
    (fewer,) = compared.fewer
    assert set(fewer.figures) == {"class-mean", "none", "own", "trunk", "teacher-probe"}
    assert fewer.borrowed == {"none", "own", "trunk", "teacher-probe"}
    assert (fewer.comparison.folds, fewer.comparison.seeds, fewer.comparison.pictures) == (1, SEEDS, 26)
    assert compared.fewer_seeds == []


def test_fewer_seeds_are_tested_on_both_folds_that_a_run_holds_out(study: Path) -> None:
    main = Evidence(study, resamples=20).data[MAIN]
    assert "own-long" not in main.figures
    (fewer,) = main.fewer_seeds
    assert fewer.borrowed == {
        "none", "own", "trunk", "trunk-30", "teacher-probe", "own-160px", "patches", "own-patches", "trunk-30-patches",
    }  # fmt: skip
    assert (fewer.comparison.folds, fewer.comparison.seeds) == (FOLDS, 1)
    assert all(run.val_fold is not None for one in fewer.finished.values() for run in one.runs)
    alone = Compared({"own-long": results.read(study / MAIN)["own-long"]}, 20).figures["own-long"]
    assert fewer.figures["own-long"].macro_mode_recall == alone.macro_mode_recall


def test_a_seed_that_lacks_a_fold_is_no_whole_seed(docs: Path) -> None:
    read = results.read(docs / MAIN)
    some = [run for run in read["class-mean"].runs if run.seed == 0 or run.fold == 0]
    read["class-mean"] = results.Finished("class-mean", read["class-mean"].about, some)
    compared = Compared(read, 5)
    (fewer,) = compared.fewer
    assert compared.fewer_seeds == []
    assert all(run.val_fold is None for one in fewer.finished.values() for run in one.runs)


def test_what_has_most_runs_leads_even_where_it_stands_alone(docs: Path) -> None:
    read = results.read(docs / MAIN)
    for name in ("none", "class-mean", "trunk"):
        first = [run for run in read[name].runs if run.seed == 0]
        read[name] = results.Finished(name, read[name].about, first)
    compared = Compared({name: read[name] for name in ("own", "none", "class-mean", "trunk")}, 5)
    assert set(compared.figures) == {"own"}
    (fewer,) = compared.fewer_seeds
    assert (set(fewer.figures), fewer.borrowed) == ({"own", "none", "class-mean", "trunk"}, {"own"})


def test_the_best_of_all_seeds_is_the_rival_where_another_is_better_with_the_first(study: Path) -> None:
    main = Evidence(study, resamples=5).data[MAIN]
    (fewer,) = main.fewer_seeds
    assert (main.figures["own-160px"].macro_mode_recall or 0) > (main.figures["own"].macro_mode_recall or 0)
    assert (fewer.figures["own-160px"].macro_mode_recall or 1) < (fewer.figures["own"].macro_mode_recall or 0)
    assert fewer.best == ["own-160px", "trunk-30-patches", "own-patches", "patches"]


def test_one_run_alone_is_told_and_tested_once(docs: Path, tmp_path: Path) -> None:
    read = results.read(docs / MAIN)["own"]
    results.write_samples(tmp_path / MAIN, SAMPLES)
    results.write(tmp_path / MAIN, "own", read.about, read.runs[:1], "good")
    (run_alone,) = Compared(results.read(tmp_path / MAIN), 5).finished["own"].runs
    assert (read.runs[0].val_fold, run_alone.val_fold) == (1, None)
    made = pages.make(tmp_path, resamples=5)
    assert "| `own` |" in english(made)
    assert "1 seed, 1 training a condition" in english(made)


def test_the_page_holds_fewer_seeds_against_what_they_change_and_plain_training_as_long(
    study: Path, made: dict[Path, str]
) -> None:
    (fewer,) = Evidence(study, resamples=50).data[MAIN].fewer_seeds
    assert "Trained with 1 seed, since 2 would take hours more: `" in english(made)
    assert "乱数 2 通りでなく、乱数 1 通りだけで学習した条件は `" in japanese(made)
    past = "Past the teacher"
    for text, heading in ((english(made), past), (japanese(made), "教師を超える")):
        of_long = held(text, "own-long", heading)
        assert [row[1] for row in of_long] == ["`own`", "`none-long`", "`own-160px`", "`trunk-30`", "`teacher-probe`"]
    for row in held(english(made), "own-long", past):
        difference = fewer.difference("own-long", row[1].strip("`"), "macro_mode_recall")
        assert row[3] == gap_of(difference).en
    reached = share(fewer.figures["own-long"].macro_mode_recall)
    assert [row[4] for row in rows(english(made), "own-long", past) if len(row) == 9] == [reached]
    for name, rivals in {
        "none-long": ("none", "own-160px", "trunk-30", "teacher-probe"),
        "own-long-both": ("own-long", "none-long", "own-160px", "trunk-30", "teacher-probe"),
        "own-long-160px": ("own-long", "own-160px", "trunk-30-160px", "teacher-probe"),
        "trunk-30-160px": ("trunk-30", "own-160px", "teacher-probe"),
        "trunk-own-30-160px": ("own-160px", "trunk-30-160px", "teacher-probe"),
    }.items():
        assert [row[1].strip("`") for row in held(english(made), name, past)] == list(rivals)
    patched = english(made).split("### Patches of good parts")[1]
    assert "| `own-long-patches` | `own-long` | " in patched
    for rival in ("trunk-30-patches", "own-patches", "patches"):
        assert f"| `own-long-patches` | `{rival}` | " in patched
    begun = "trunk-own-30-160px"
    assert [row[1].strip("`") for row in held(english(made), f"{begun}-patches", past)][::4] == [
        begun,
        "trunk-30-160px-patches",
    ]
    assert "| `own-long-patches` |" not in english(made).split("### Patches of good parts")[0].split(f"## {past}")[1]


def said_of(bullet: str, rival: str) -> str:
    """Return the value that a bullet gives for a rival."""
    (found,) = (
        part
        for part in re.split(r"\. (?:Plain|Its)", bullet)[0].rstrip(".").split("; ")
        if part.endswith(f" against `{rival}`")
    )
    return found.split(" (")[0]


def test_the_answer_tells_fewer_seeds_beside_the_same_of_others(study: Path, made: dict[Path, str]) -> None:
    (fewer,) = Evidence(study, resamples=50).data[MAIN].fewer_seeds
    told = english(made)
    assert "ways of training and asking a student from random weights that are finished with 2 seeds" in told
    long, trunk, taught, patched = (line for line in told.splitlines() if line.startswith("- With 1 seed (its rivals"))
    for bullet, name, rivals in (
        (long, "own-long", ("own", "none-long", "own-160px", "trunk-30")),
        (trunk, "trunk-30-160px", ("trunk-30", "own-160px")),
        (taught, "trunk-own-30-160px", ("own-160px", "trunk-30-160px")),
        (patched, "own-long-patches", ("own-long", "trunk-30-patches", "own-patches", "patches")),
    ):
        assert f"`{name}`" in bullet
        assert f" reaches {share(fewer.figures[name].macro_mode_recall, 2)} of each kind" in bullet
        for rival in rivals:
            found = fewer.difference(name, rival, "macro_mode_recall")
            assert found is not None
            digits = 3 if any(bound and abs(bound) < 0.005 for bound in (found.low, found.high)) else 2
            assert said_of(bullet, rival) == share(found.value, digits, signed=True)
            inside = found.verdict not in ("more", "less")
            assert ("includes zero" if inside else "excludes zero") in bullet.split(f" against `{rival}`")[0][-20:]
        assert "chance" not in bullet  # one seed does not tell
        assert f"with {percent(fewer.figures[name].overkill, 1)} of the good parts rejected" in bullet
    assert "`own-long`, the best of 4, reaches" in long
    assert "the strong rival on pictures of 160 pixels" in trunk
    assert "the rival's stages with the store's embeddings on pictures of 160 pixels" in taught
    other = "Its layers were trained in bfloat16, those of `own-160px`, `trunk-30-160px` in float32."
    assert other in taught
    assert "layers" not in long + trunk + patched
    in_japanese = [
        line for line in japanese(made).splitlines() if line.startswith("- 乱数 1 通りだけで学習したもの（比較相手も")
    ]
    assert [line.count("との差は ") for line in in_japanese] == [4, 2, 2, 4]


def test_limits_and_failures_tell_fewer_seeds(study: Path, made: dict[Path, str]) -> None:
    (fewer,) = Evidence(study, resamples=50).data[MAIN].fewer_seeds
    lost = gap_of(fewer.difference("own-long", "own", "macro_mode_recall"))
    assert f"`own-long` (1 seed) − `own` {lost.en}; `none-long` (1 seed) − `none` " in english(made)
    assert f"`own-long`（乱数 1 通り） − `own` は {lost.ja}" in japanese(made)
    assert f"`own-long` was to go past `own` and gained {lost.en} in macro-mode recall, with 1 seed." in english(made)
    assert "`own-long-160px` was to go past `own-160px` and gained" in english(made)
    assert (
        f"`own-long` は `own` を超えるためのものですが、乱数 1 通りで、種類の平均の差は {lost.ja}でした。"
        in japanese(made)
    )
    assert "The interval of the difference to plain training includes zero, with 1 seed: " in english(made)
    rival = fewer.difference("trunk-30-160px", "trunk-30", "macro_mode_recall")
    assert rival is not None
    assert rival.verdict != "more"  # it would be told, were it no rival
    assert "`trunk-30-160px` was to go past" not in english(made)
    assert "`trunk-own-30-160px` was to go past `trunk-30-160px` and gained" in english(made)


def test_plain_training_as_long_is_missed_where_it_is_not_finished_or_not_planned(study: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(study, tmp_path / "study")
    (copied / MAIN / "none-long.json").unlink()
    made = pages.make(copied, resamples=5)
    assert " Plain training as long on pictures as large is not finished." in english(made)
    assert "同じ長さ、同じ大きさの画像での通常の学習は未完了です。" in japanese(made)
    for name in ("own-long", "own-long-both", "own-long-patches"):
        (copied / MAIN / f"{name}.json").unlink()
    made = pages.make(copied, resamples=5)
    assert "`own-long-160px` reaches" in english(made)
    assert " Plain training as long on pictures as large was not trained." in english(made)
    assert "同じ長さ、同じ大きさの画像での通常の学習は行っていません。" in japanese(made)


def test_what_asks_students_of_one_seed_has_their_runs() -> None:
    one_seed = {(fold, 0) for fold in range(conditions.FOLDS)}
    few = {key for key, one in conditions.CONDITIONS.items() if one.only is not None and len(one.only) > 1}
    long = {f"magnetic-tile/own-long{answer}" for answer in ("", "-neighbours", "-both", "-distribution", "-patches")}
    begun = {f"magnetic-tile/trunk-{how}30-160px{asked}" for how in ("", "own-") for asked in ("", "-patches")}
    assert few >= long | begun | {"magnetic-tile/none-long", "magnetic-tile-six/own"}
    assert "magnetic-tile/own" not in few
    assert all(set(conditions.CONDITIONS[key].only or ()) == one_seed for key in few)
    options = argparse.Namespace(folds=conditions.FOLDS, seeds=conditions.SEEDS)
    for key in long:
        assert run.runs_of(conditions.CONDITIONS[key], options) == one_seed
    assert len(run.runs_of(conditions.CONDITIONS["magnetic-tile/own"], options)) == 15


def test_students_of_one_seed_are_there_when_its_runs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = argparse.Namespace(folds=conditions.FOLDS, seeds=conditions.SEEDS, out=tmp_path)
    kept = {f"own-long-fold{fold}-seed0" for fold in range(conditions.FOLDS)}
    monkeypatch.setattr(run, "is_complete", lambda path: path.name in kept)
    asked = conditions.CONDITIONS["magnetic-tile/own-long-both"]
    assert run.has_runs(asked, options)
    kept.discard("own-long-fold3-seed0")
    assert not run.has_runs(asked, options)


def test_a_bound_beside_zero_is_told_with_the_digit_that_says_its_side() -> None:
    def said(low: float, high: float) -> str:
        verdict = "more" if low > 0 else "noise"
        one = Difference(
            "a", "b", "macro_mode_recall", 0.107, low, high, verdict, parts=20, looks=2, resamples=50, left_out=0
        )
        return answer._said(one, sure=False).en

    assert said(-0.0008, 0.236) == "+.107 (−.001 to +.236, includes zero)"
    assert said(0.0014, 0.226) == "+.107 (+.001 to +.226, excludes zero)"
    assert said(0.01, 0.236) == "+.11 (+.01 to +.24, excludes zero)"
    assert said(-0.107, 0.0) == "+.11 (−.11 to .00, includes zero)"
