"""What was trained with fewer seeds, or on fewer folds, stands apart, beside what it is held against, on the same ones."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_study import FOLDS, SEEDS, english, rows, runs_of

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import pages  # noqa: E402
import results  # noqa: E402
from page_parts.evidence import MAIN, Compared, Evidence  # noqa: E402
from page_parts.markdown import gap_of, share  # noqa: E402

LONG: dict[str, Any] = {"student": "small", "epochs": 100, "pretrain_epochs": 200}


def with_fewer(docs: Path, name: str, like: str, apart: float, seeds: int, **about: Any) -> None:
    """Write a condition with some seeds of the toy study."""
    known = {"good": "good", "part": "recipes", "method": "own", "peak_memory": None, "curve": [], "jobs": 2}
    known |= {
        "of": None,
        "machine": "2 CPU cores",
        "settings": LONG,
        "says": name,
        "parameters": 300_000,
        "data": "tiles",
    }
    runs = [one for one in runs_of(like, apart) if one.seed < seeds]
    results.write(docs / MAIN, name, {**known, **about}, runs, "good")


@pytest.fixture(scope="module")
def study(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = shutil.copytree(docs, tmp_path_factory.mktemp("fewer") / "study")
    with_fewer(copied, "own-long", "class-mean", 2.0, 1)
    with_fewer(copied, "none-long", "none", 1.0, 1, method="none")
    with_fewer(copied, "own-long-both", "none", 1.0, 1, of="own-long")
    with_fewer(copied, "own-long-patches", "trunk", 3.0, 1, of="own-long", part="patches", method="patches")
    with_fewer(copied, "patches", "trunk", 1.0, SEEDS, part="patches", method="patches", settings={})
    return copied


@pytest.fixture(scope="module")
def told(study: Path) -> str:
    return english(pages.make(study, resamples=50))


def test_fewer_folds_stand_beside_rivals_on_the_same_each_tested_once(docs: Path) -> None:
    read = results.read(docs / MAIN)
    first = [run for run in read["class-mean"].runs if run.fold == 0]
    read["class-mean"] = results.Finished("class-mean", read["class-mean"].about, first)
    compared = Compared(read, 5)
    assert "class-mean" not in compared.figures
    (fewer,) = compared.fewer
    assert set(fewer.figures) == {"class-mean", "none", "own", "trunk", "teacher-probe"}
    assert fewer.beside == {"none", "own", "trunk", "teacher-probe"}
    assert (fewer.comparison.folds, fewer.comparison.seeds, fewer.comparison.pictures) == (1, SEEDS, 26)
    assert compared.fewer_seeds == []


def test_fewer_seeds_are_tested_on_both_folds_that_a_run_holds_out(study: Path) -> None:
    main = Evidence(study, resamples=20).data[MAIN]
    assert "own-long" not in main.figures
    (fewer,) = main.fewer_seeds
    assert fewer.beside == {"none", "own", "trunk", "teacher-probe", "patches"}  # `own` is the best student, too
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


def test_the_page_holds_fewer_seeds_against_what_they_change_and_plain_training_as_long(study: Path, told: str) -> None:
    (fewer,) = Evidence(study, resamples=50).data[MAIN].fewer_seeds
    assert "On all folds with 1 seed only, since 2 would take hours more" in told
    figures, *held = rows(told, "own-long", "Past the teacher")
    assert figures[4] == share(fewer.figures["own-long"].macro_mode_recall)
    assert [row[1] for row in held] == ["`own`", "`none-long`", "`teacher-probe`"]
    for row in held:
        difference = fewer.difference("own-long", row[1].strip("`"), "macro_mode_recall")
        assert row[3] == gap_of(difference).en
    assert [row[1] for row in rows(told, "none-long", "Past the teacher")[1:]] == ["`none`", "`teacher-probe`"]
    assert [row[1] for row in rows(told, "own-long-both", "Past the teacher")[1:]] == ["`own-long`"]
    assert [row[1] for row in rows(told, "own-long-patches", "Past the teacher")[1:]] == ["`own-long`", "`patches`"]


def test_the_answer_and_the_limits_tell_fewer_seeds(study: Path, told: str) -> None:
    (fewer,) = Evidence(study, resamples=50).data[MAIN].fewer_seeds
    reached = share(fewer.figures["own-long"].macro_mode_recall, 2)
    (bullet,) = (line for line in told.splitlines() if line.startswith("- With 1 seed instead of 2, "))
    assert f"`own-long` reaches {reached}, and " in bullet
    for of in ("none-long", "own"):
        found = fewer.difference("own-long", of, "macro_mode_recall")
        assert found is not None
        assert f"; {share(found.value, 2, signed=True)} (" in bullet.split(f" against `{of}`")[0]
    lost = fewer.difference("own-long", "own", "macro_mode_recall")
    assert f"`own-long` − `own` {gap_of(lost).en}, 1 seed; `none-long` − `none` " in told
    assert f"`own-long` was to go past `own` and gained {gap_of(lost).en} in macro-mode recall, with 1 seed." in told
