"""Comparisons that are refused, and before anything is trained."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_parts import quick
from toy_runs import SETTINGS, compare, figures, students, train_here

import distill
import embedstore
from distill.training import trainer
from distill.training.compare import train_ways
from embedstore.errors import SettingsError, SummaryError, TrainingError
from embedstore.exports import export

FOLDS = 3


@pytest.fixture(scope="module", autouse=True)
def _in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_apart", train_here)
        yield


@pytest.fixture(scope="module")
def out(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison."""
    path = tmp_path_factory.mktemp("compared") / "out"
    compare(store_path, path, ["none"])
    return path


@pytest.mark.parametrize(
    ("policies", "options", "words"),
    [
        ([], {}, "The policies are ''; name one or more, each once"),
        (["own", "none", "own"], {}, "The policies are 'own,none,own'; name one or more, each once"),
        (["own", "mean"], {}, "The policy 'mean' is unknown; use one of"),
        (["own", ""], {}, "The policy '' is unknown"),
        (["own", "mixture"], {}, "'mixture' needs weights"),
        (["own"], {"folds": 0}, "0 folds can't give train, val and test; use 3 or more"),
        (["own"], {"folds": 2}, "2 folds can't give"),
        (["own"], {"seeds": 0}, "The number of seeds is 0; expected 1 or more"),
        (["own"], {"jobs": 0}, "The number of jobs is 0; expected 1 or more"),
        (["own"], {"baseline": "none"}, "The baseline 'none' is not among the policies own"),
    ],
)
def test_what_can_not_be_compared_is_refused_before_anything_is_made(
    policies: list[str], options: dict[str, Any], words: str, store_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        compare(store_path, tmp_path / "out", policies, SETTINGS, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "folds", "words"),
    [
        (quick(epochs=2), FOLDS, "was begun with epochs = 1, not 2"),
        (SETTINGS, FOLDS + 1, "was begun with folds = 3, not 4"),
        (replace(SETTINGS, overkill=0.1), FOLDS, "was begun with overkill = 0.05, not 0.1"),
    ],
)
def test_runs_of_other_settings_are_not_mixed_in(
    settings: distill.Settings, folds: int, words: str, store_path: Path, out: Path
) -> None:
    before, text = students(out), (out / "comparison.json").read_bytes()
    with pytest.raises(TrainingError, match=words):
        compare(store_path, out, ["none"], settings, folds=folds)
    assert students(out) == before
    assert (out / "comparison.json").read_bytes() == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, r"The ways differ in seed \(0, 1\), so they would be tested otherwise"),
        ({"good": None}, r"The ways differ in good \(None, good\)"),
    ],
)
def test_ways_that_would_be_tested_otherwise_are_refused(
    changes: dict[str, Any], words: str, store_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        train_ways(store_path, tmp_path / "out", {"one": SETTINGS, "other": replace(SETTINGS, **changes)})
    assert not (tmp_path / "out").exists()


def test_a_directory_that_can_not_be_made_is_one_sentence(store_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="can't be made"):
        compare(store_path, tmp_path / "file", ["none"], SETTINGS)


@pytest.mark.parametrize("place", ["store", "run", "page"])
def test_a_directory_of_something_else_is_refused(place: str, store_path: Path, out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    if place == "page":
        other.mkdir()
        (other / "comparison.html").write_text("mine")
    else:
        shutil.copytree(store_path if place == "store" else next((out / "runs").iterdir()), other)
    before = sorted(other.rglob("*"))
    with pytest.raises(
        TrainingError, match="other' holds other files and no comparison; choose a new or empty directory"
    ):
        compare(store_path, other, ["none"])
    assert sorted(other.rglob("*")) == before


def test_what_a_kill_leaves_beside_the_runs_keeps_nobody_from_going_on(store_path: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "runs").mkdir(parents=True)
    (tmp_path / "out" / ".comparison.json.new-77").write_text("{", "utf-8")
    with pytest.raises(SettingsError, match="2 folds can't give train, val and test"):  # the directory is taken
        distill.compare(store_path, tmp_path / "out", ["none"], SETTINGS, folds=2)


def test_files_beside_a_finished_comparison_do_no_harm(store_path: Path, out: Path, tmp_path: Path) -> None:
    again = shutil.copytree(out, tmp_path / "again")
    (again / "notes.txt").write_text("mine")
    before = students(again)
    compare(store_path, again, ["none"])
    assert students(again) == before


@dataclass(frozen=True)
class Saved:
    """A store with a written split and saved summaries, each with its file."""

    store: Path

    def file(self, name: str) -> Path:
        return self.store.parent / f"{name}.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    path = toy_parts.make_store(tmp_path_factory.mktemp("saved"), toy_parts.parts())
    found = Saved(path)
    with embedstore.open(path) as store:
        for name, strategy, split in (
            ("means", "class-mean", "train"),
            ("subs", "medoids", "train"),
            ("all", "class-mean", None),
        ):
            store.summarize(strategy, name=name, split=split)
            export(store, found.file(name), summary=name)
    return found


def naming(summary: str, policy: str = "class-mean") -> dict[str, Any]:
    return {"options": {policy: {"summary": summary}}}


MIXED: dict[str, Any] = {"mixture": {"good": {"none": 1.0}, "defect": {"class-mean": 1.0}}}
ANEW = "with folds, summaries are made anew from each fold's training side; "


@pytest.mark.parametrize(
    ("file", "policies", "settings", "folds", "words"),
    [
        (None, ["none", "class-mean"], naming("means"), FOLDS, ANEW + r"give parameters \(such as k, share\) instead of"),
        (None, ["none", "class-mean"], naming("all"), None, "saw 40 pictures that this run is tested on"),
        (None, ["none", "class-mean"], naming("gone"), None, "no summary 'gone'"),
        (None, ["none", "class-mean"], naming("subs"), None, "several prototypes for a label"),
        (None, ["none", "rotated-means"], naming("subs", "rotated-means"), None, "several prototypes for a label"),
        (None, ["none", "mixture"], MIXED | naming("all"), None, "saw 40 pictures"),
        (None, ["none", "mixture"], {"mixture": {"good": {"none": 1.0}}}, None, "no policy for the label 'defect'"),
        ("means", ["none", "class-mean"], {}, FOLDS, ANEW + r"leave the folds out \(--no-folds\)"),
        ("all", ["none", "class-mean"], {}, None, "saw 40 pictures"),
        ("means", ["none", "own"], {}, None, "'own' needs every picture's own vector"),
        ("means", ["none", "mixture"], {"mixture": {label: {"own": 1.0} for label in ("good", "defect")}}, None, "'own' needs"),
        ("means", ["none", "rare-samples"], {}, None, "keeps no samples"),
        ("means", ["none", "sub-prototypes"], {"options": {"sub-prototypes": {"k": 2}}}, None, "none can be made"),
    ],
)  # fmt: skip
def test_targets_that_only_a_later_run_would_refuse_are_refused_before_the_first(
    file: str | None,
    policies: list[str],
    settings: dict[str, Any],
    folds: int | None,
    words: str,
    saved: Saved,
    tmp_path: Path,
) -> None:
    source = saved.store if file is None else saved.file(file)
    # A comparison of more policies has options and a mixture for some of them.
    with pytest.raises((SettingsError, SummaryError), match=words):
        compare(
            source,
            tmp_path / "out",
            policies,
            _mixed(policies, settings),
            folds=folds,
            images=saved.store.parent / "images",
        )
    assert not (tmp_path / "out").exists()


def _mixed(policies: list[str], settings: dict[str, Any]) -> distill.Settings:
    return replace(SETTINGS, **({"policy": "mixture"} if "mixture" in policies else {}), **settings)


def test_saved_summaries_and_their_files_are_compared_on_the_written_split(saved: Saved, tmp_path: Path) -> None:
    settings = replace(SETTINGS, **naming("means"))
    policies = ["class-mean", "random-vectors"]
    of_store = compare(saved.store, tmp_path / "store", policies, settings, folds=None)
    images = saved.store.parent / "images"
    of_file = compare(saved.file("means"), tmp_path / "file", policies, SETTINGS, folds=None, images=images)
    assert figures(of_file) == figures(of_store)
    assert of_file.baseline == "class-mean"  # the first that was named


def test_without_none_the_first_that_is_named_is_the_baseline(store_path: Path, tmp_path: Path) -> None:
    found = compare(store_path, tmp_path, ["random-vectors", "class-mean"], SETTINGS, folds=None)
    assert found.baseline == "random-vectors"


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (
            toy_parts.parts(60, 20, 20, split=False),
            {"folds": None, "seeds": 2},
            "each seed would be tested on other pictures",
        ),
        (toy_parts.parts(4, 20, 20, split=False), {"folds": 3}, "no 'good' picture.*fewer folds do not help"),
        (toy_parts.parts(60, 6, 0, split=False), {"folds": 5}, "no defect.*with --folds 3 every fold can be tested"),
    ],
    ids=["seeds without a written split", "too few good parts for any folds", "too few defects for so many folds"],
)
def test_what_only_a_later_run_would_refuse_is_refused_before_the_first(
    rows: list[toy_parts.Part], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    store = toy_parts.make_store(tmp_path, rows)
    with pytest.raises(TrainingError, match=words):
        compare(store, tmp_path / "out", ["none"], SETTINGS, **options)
    assert not (tmp_path / "out").exists()
