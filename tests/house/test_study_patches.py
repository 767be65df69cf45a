"""What patches say in the study: nothing of what is held out, and what they add to heads."""

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from toy_study import english

ROOT = Path(__file__).parents[2]
sys.path += [
    str(ROOT / "tools" / "study"),
    str(ROOT / "tools"),
    str(ROOT / "tools" / "pilot"),
    str(ROOT / "tests" / "distill"),
]

import pages  # noqa: E402
import patches  # noqa: E402
import results  # noqa: E402
from page_parts.evidence import MAIN, Evidence  # noqa: E402
from toy_parts import make_store, parts  # noqa: E402

from distill.evaluation.metrics import roc_area  # noqa: E402
from distill.evaluation.report import Held  # noqa: E402
from distill.evaluation.runs import RunScores  # noqa: E402
from distill.training import learned_patches  # noqa: E402
from distill.training.learned_patches import SeenPatches  # noqa: E402
from distill.training.run_data import make_run_data  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore import open as open_store  # noqa: E402
from embedstore.errors import TrainingError  # noqa: E402

PLACES, CHANNELS = 9, 152  # as many channels as the maps


def given(changed: Mapping[int, float]) -> Callable[..., torch.Tensor]:
    """Return what gives drawn patches for those of pictures; those of some have something added."""

    def of(_: Any, positions: npt.NDArray[np.int64], size: int) -> torch.Tensor:
        drawn = [
            np.random.default_rng([int(at), size]).normal(size=(PLACES, CHANNELS)) + changed.get(int(at), 0.0)
            for at in positions
        ]
        return torch.from_numpy(np.stack(drawn).astype(np.float32))

    return of


def test_a_held_out_picture_moves_no_score_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path, parts(split=False))
    with open_store(store) as opened:
        sides = make_run_data(opened, Settings(good="good", folds=5, fold=0)).sides
        ids = opened.ids
    moved = {int(sides[side][0]): 50.0 for side in ("val", "test")}
    said = []
    for changed in ({}, moved):
        monkeypatch.setattr(SeenPatches, "of", given(changed))
        said.append(patches.patch_runs(store, None, "good", folds=5, seeds=1)[0])
    before, after = ({one.id: one.probabilities for one in run.held} for run in said)
    assert {one for one in before if before[one] != after[one]} == {ids[at] for at in moved}


def test_patches_tell_spots_and_stripes_from_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_patches, "SIZES", (64,))
    store = make_store(tmp_path, parts(split=False))
    runs = patches.patch_runs(store, None, "good", folds=5, seeds=1)
    assert [(run.fold, run.seed, run.val_fold) for run in runs] == [(fold, 0, (fold + 1) % 5) for fold in range(5)]
    for run in runs:
        tested = [one for one in run.held if one.side == "test"]
        area = roc_area(
            np.array([one.label != "good" for one in tested]), np.array([one.probabilities[0] for one in tested])
        )
        assert area > 0.9


def a_run(fold: int, **scores: tuple[float, float]) -> RunScores:
    held = [Held(name, "test", "good", None, None, probabilities) for name, probabilities in scores.items()]
    return RunScores("x", fold, 0, held, ["defect", "good"])


def test_log_odds_are_added_run_by_run() -> None:
    heads, patched = (
        [a_run(0, a=(0.8, 0.2), b=(0.5, 0.5))],
        [a_run(1, a=(0.1, 0.9)), a_run(0, b=(0.9, 0.1), a=(0.5, 0.5))],
    )
    (found,) = patches.beside(heads, patched)
    assert [one.id for one in found.held] == ["a", "b"]
    assert [one.probabilities for one in found.held] == [pytest.approx((0.8, 0.2)), pytest.approx((0.9, 0.1))]
    (both,) = patches.beside(heads, [a_run(0, a=(0.8, 0.2), b=(0.1, 0.9))])
    assert both.held[0].probabilities == pytest.approx((16 / 17, 1 / 17))
    sure = patches.beside([a_run(0, a=(1.0, 0.0))], [a_run(0, a=(0.5, 0.5))])
    assert sure[0].held[0].probabilities == pytest.approx((1, 0), abs=1e-9)
    for lacking in ([a_run(0, a=(0.5, 0.5))], [replace(patched[1], fold=2)]):
        with pytest.raises(TrainingError, match=r"Patches say nothing of '[ab]', which the run of 'x' on fold 0"):
            patches.beside(heads, lacking)


def test_the_page_tells_what_patches_add_to_a_head_and_takes_none_of_them_for_a_student(
    docs: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(docs, tmp_path / "study")
    before = english(pages.make(changed, resamples=20))
    about = {
        "data": "tiles", "says": "patches", "part": "patches", "method": "patches", "good": "good", "machine": "2 CPU cores",
        "jobs": 1, "settings": {}, "bytes": patches.BYTES, "peak_memory": None, "curve": [],
    }  # fmt: skip
    own = results.read(changed / MAIN)["own"].runs
    results.write(changed / MAIN, "patches", about | {"of": None}, own, "good")  # as good as it gets
    both = patches.beside(results.read(changed / MAIN)["none"].runs, own)
    results.write(changed / MAIN, "none-patches", about | {"of": "none"}, both, "good")
    after = english(pages.make(changed, resamples=20))
    assert "### Patches of good parts\n\n*Not measured yet" in before
    section = after.split("### Patches of good parts")[1].split("\n### ")[0]
    assert {line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")} == {
        "| `patches`", "| `none-patches`"
    }  # fmt: skip
    (told,) = [line for line in section.splitlines() if line.startswith("| `none-patches` | `none` |")]
    compared = Evidence(changed, resamples=20).data[MAIN]
    gap = compared.difference("none-patches", "none", "macro_mode_recall")
    assert gap is not None
    assert gap.value is not None
    assert gap.value > 0
    assert f"+{gap.value:.3f}".replace("+0.", "+.") in told
    students = [re.search(r"Of the (\d+) ways of training and asking a student", text) for text in (before, after)]
    assert students[0] is not None
    assert students[1] is not None
    assert students[0][1] == students[1][1]  # they are no students, and train nothing
    machines = [text.split("## Which machine trained what")[1].split("\n## ")[0] for text in (before, after)]
    assert machines[0] == machines[1]
