"""Runs and comparisons whose store is changed meanwhile: they end as if it had not been, or are refused in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import toy_parts
from toy_parts import quick
from toy_runs import SETTINGS, compare, figures, students, train_here

import distill
import embedstore
from distill.training import run_directory, trainer
from distill.training.compare import Step
from distill.training.run_process import train_apart
from distill.training.store_version import VersionWarning
from embedstore.errors import StoreError, TrainingError
from embedstore.exports import export

ROWS = toy_parts.parts(24, 12, 12)
LEARNING = quick(policy="own", epochs=3)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "train_apart", train_here)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a store, at version 1, and its pictures."""
    return toy_parts.make_store(tmp_path, ROWS, views=1).parent


def build(folder: Path, *more: toy_parts.Part, without: str = "") -> None:
    """Bring the store to what the parts are, some more, and without one."""
    toy_parts.write_pictures(folder / "images", more)
    rows = [row for row in [*ROWS, *more] if row.path != without]
    manifest = toy_parts.write_manifest(folder / "parts.csv", rows)
    embedstore.build(folder / "toy.store", folder / "images", manifest=manifest, prune=True)


def change(folder: Path) -> None:
    """Change labels, take a training picture out, and bring a new one: two versions."""
    with embedstore.open(folder / "toy.store") as store, store.write("relabel") as changes:
        changes.set("label", {"good000.png": "defect", "spot001.png": "good"})
    build(folder, toy_parts.Part("new.png", "good", "", "new", "train"), without="good001.png")


def stopped(folder: Path, settings: distill.Settings = LEARNING) -> Path:
    """Return the directory of a run that was stopped after its first epoch."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.train(folder / "toy.store", folder / "run", settings, progress=stop)
    return folder / "run"


def same(run: Path, other: Path) -> None:
    for name in ("student.safetensors", "scores.csv", "report.json", "split.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def versions(out: Path) -> set[int]:
    return {run_directory.read(run)["store"]["version"] for run in (out / "runs").iterdir()}


# A run


def test_a_run_goes_on_as_if_its_store_had_not_been_changed(here: Path) -> None:
    whole = distill.train(here / "toy.store", here / "whole", LEARNING).path
    run = stopped(here)
    change(here)
    with pytest.warns(VersionWarning) as warned:
        distill.train(here / "toy.store", run, LEARNING, resume=True)
    assert [str(one.message) for one in warned] == [
        f"What is in '{run}' goes on with version 1 of the store '{here / 'toy.store'}', with which it was begun; the newest is "
        "version 3: to learn from that, begin in another directory."
    ]
    same(run, whole)
    assert run_directory.read(distill.train(here / "toy.store", here / "next", quick()).path)["store"]["version"] == 3


def test_a_run_that_goes_on_with_the_newest_version_says_nothing(here: Path) -> None:
    change(here)
    run = stopped(here)
    distill.train(here / "toy.store", run, LEARNING, resume=True)  # a warning is an error here
    assert run_directory.read(run)["store"]["version"] == 3


def test_a_run_in_its_own_process_learns_from_the_version_that_it_is_told(here: Path) -> None:
    settings = quick(policy="own")
    whole = distill.train(here / "toy.store", here / "whole", settings).path
    change(here)
    train_apart(here / "toy.store", here / "run", settings, images=None, progress=lambda *_: None, threads=1, version=1)
    same(here / "run", whole)
    assert run_directory.read(here / "run")["store"]["version"] == 1


def test_a_version_that_is_asked_for_is_never_another_than_the_runs(here: Path) -> None:
    run = stopped(here)
    change(here)
    with pytest.raises(TrainingError, match="was begun with version = 1, not 3"):
        distill.train(here / "toy.store", run, LEARNING, resume=True, version=3)


def test_a_version_that_was_compacted_away_is_refused(here: Path) -> None:
    run = stopped(here)
    change(here)
    with embedstore.open(here / "toy.store") as store:
        store.compact()
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    with pytest.raises(TrainingError) as caught:
        distill.train(here / "toy.store", run, LEARNING, resume=True)
    assert str(caught.value) == (
        f"The store '{here / 'toy.store'}' has no version 1 any more, which is to be learned from: a compaction removed it, the "
        "store was built anew, or what is to go on is another store's; begin again in another directory, and keep a version for "
        "as long as that takes with: "
        f"embedstore tag '{here / 'toy.store'}' NAME"
    )
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_a_version_is_learned_from_although_the_newest_has_no_vectors(here: Path) -> None:
    embedstore.rollback(here / "toy.store", 0)
    with pytest.raises(StoreError, match="has no vectors at version 2; bring one back with: embedstore rollback"):
        distill.train(here / "toy.store", here / "run", LEARNING)
    distill.train(here / "toy.store", here / "run", LEARNING, version=1)
    with pytest.raises(StoreError, match="has no vectors at version 0; choose another one"):
        distill.train(here / "toy.store", here / "other", LEARNING, version=0)


def test_a_tag_keeps_the_version_that_a_run_goes_on_with(here: Path) -> None:
    whole = distill.train(here / "toy.store", here / "whole", LEARNING).path
    with embedstore.open(here / "toy.store") as store:
        store.tag("running")
    run = stopped(here)
    change(here)
    with embedstore.open(here / "toy.store") as store:
        store.compact()
    with pytest.warns(VersionWarning):
        distill.train(here / "toy.store", run, LEARNING, resume=True)
    same(run, whole)


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_picture_that_is_no_longer_that_of_the_version_is_refused(how: str, here: Path) -> None:
    run, file = stopped(here), here / "images" / "good000.png"
    if how == "changed":
        toy_parts.draw("rims", 1).save(file)
        build(here)
    else:
        file.unlink()
        build(here, without=file.name)
    words = "is another than the one that was embedded" if how == "changed" else "put it back"
    with (
        pytest.warns(VersionWarning),
        pytest.raises(
            TrainingError,
            match=f"'good000.png'.*{words}.* and begin again with the new version in another directory, for here version 1 is",
        ),
    ):
        distill.train(here / "toy.store", run, LEARNING, resume=True)


def test_a_run_goes_on_with_the_summary_that_a_refresh_has_put_another_in_place_of(here: Path) -> None:
    settings = quick(policy="sub-prototypes", epochs=3, options={"sub-prototypes": {"summary": "kept"}})
    with embedstore.open(here / "toy.store") as store:
        store.summarize("sub-prototypes", name="kept", split="train", k=2)
    whole = distill.train(here / "toy.store", here / "whole", settings).path
    run = stopped(here, settings)
    new = toy_parts.Part("new.png", "defect", "spot", "new", "train", "spot")
    toy_parts.write_pictures(here / "images", [new])
    manifest = toy_parts.write_manifest(here / "parts.csv", [*ROWS, new])
    assert embedstore.refresh(here / "toy.store", manifest=manifest).summaries.keys() == {"kept"}
    with embedstore.open(here / "toy.store") as store:
        assert store.summary("kept").store_version > 1
    with pytest.warns(VersionWarning):
        distill.train(here / "toy.store", run, settings, resume=True)
    same(run, whole)


# A comparison


def test_a_comparison_ends_as_if_its_store_had_not_been_changed_meanwhile(here: Path) -> None:
    whole = compare(here / "toy.store", here / "whole", ["none", "own"])

    def meanwhile(step: Step) -> None:
        if step.runs_done == 1 and step.epochs_done == 0:
            change(here)

    found = compare(here / "toy.store", here / "out", ["none", "own"], progress=meanwhile)
    assert figures(found) == figures(whole)
    assert versions(here / "out") == {1}


def test_a_comparison_that_was_interrupted_goes_on_with_its_own_version_and_says_so(here: Path) -> None:
    whole = compare(here / "toy.store", here / "whole", ["none", "own"])

    def stop(step: Step) -> None:
        if step.runs_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(here / "toy.store", here / "out", ["none", "own"], progress=stop)
    before = students(here / "out")
    change(here)
    with pytest.warns(VersionWarning) as warned:
        found = compare(here / "toy.store", here / "out", ["none", "own"])
    assert figures(found) == figures(whole)
    assert {name: one for name, one in students(here / "out").items() if name in before} == before
    assert found.remarks[0] == str(warned[0].message)
    assert found.remarks[0].startswith(f"What is in '{here / 'out'}' goes on with version 1 of the store")
    kept = json.loads((here / "out" / "comparison.json").read_text("utf-8"))
    assert kept["remarks"][0] == found.remarks[0]


def test_a_policy_that_is_added_later_learns_from_the_same_version(here: Path) -> None:
    whole = compare(here / "toy.store", here / "whole", ["none", "own"])
    compare(here / "toy.store", here / "out", ["none"])
    change(here)
    with pytest.warns(VersionWarning):
        found = compare(here / "toy.store", here / "out", ["none", "own"])
    assert figures(found) == figures(whole)
    assert versions(here / "out") == {1}


def test_a_comparison_whose_version_is_gone_trains_nothing(here: Path) -> None:
    compare(here / "toy.store", here / "out", ["none"])
    before = students(here / "out")
    change(here)
    with embedstore.open(here / "toy.store") as store:
        store.compact()
    with pytest.raises(TrainingError, match="has no version 1 any more, which is to be learned from"):
        compare(here / "toy.store", here / "out", ["none", "own"])
    assert students(here / "out") == before


def test_a_comparison_on_a_file_that_was_written_anew_from_another_version_trains_nothing(here: Path) -> None:
    def write(name: str) -> None:
        with embedstore.open(here / "toy.store") as store:
            store.summarize("class-mean", name=name, split="train")
            export(store, here / "means.safetensors", summary=name, overwrite=True)

    def compared(*policies: str) -> None:
        compare(here / "means.safetensors", here / "out", [*policies], folds=None, images=here / "images")

    write("first")
    compared("none")
    before = students(here / "out")
    change(here)
    write("second")
    with pytest.raises(
        TrainingError, match=r"means.safetensors' is of version \d of its store now, and version \d is to be"
    ):
        compared("none", "class-mean")
    assert students(here / "out") == before


def test_runs_of_two_versions_are_no_comparison(here: Path) -> None:
    compare(here / "toy.store", here / "out", ["none"])
    change(here)
    distill.train(here / "toy.store", here / "out" / "runs" / "by hand", SETTINGS)
    with pytest.raises(
        TrainingError, match=r"were begun with versions 1, 3 of the store '.*', and figures of two versions"
    ):
        compare(here / "toy.store", here / "out", ["none"])


def test_a_store_that_is_built_anew_while_runs_train_is_noticed(here: Path) -> None:
    """It has a version 1, too."""

    def meanwhile(step: Step) -> None:
        if step.runs_done == 1 and step.epochs_done == 0:
            shutil.rmtree(here / "toy.store")
            toy_parts.make_store(here, toy_parts.parts(26, 12, 12), views=1)

    with pytest.raises(
        TrainingError, match="was made anew while runs trained, so they learned from different contents"
    ):
        compare(here / "toy.store", here / "out", ["none"], progress=meanwhile)
    assert not (here / "out" / "comparison.json").exists()


@pytest.mark.parametrize("version", ["1", None, [1]])
def test_a_version_that_is_no_number_is_not_opened(version: Any, here: Path) -> None:
    run = stopped(here)
    described = json.loads((run / "run.json").read_text("utf-8"))
    described["store"]["version"] = version
    (run / "run.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(TrainingError, match=r"was begun with version = .*, not 1"):
        distill.train(here / "toy.store", run, LEARNING, resume=True)
