"""The summary that a run takes its targets from: the saved one, or refused, or with remarks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_parts
from toy_parts import quick

import distill
import embedstore
from distill.source import Source
from distill.training.run_data import make_run_data
from distill.training.run_summary import check_summary, saved_summary
from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError, SummaryError
from embedstore.exports import SummaryFile, export
from embedstore.summaries import summarize


def of_policy(summary: str) -> distill.Settings:
    return quick(policy="class-mean", options={"class-mean": {"summary": summary}})


def test_a_summary_of_the_training_side_fits(store: EmbeddingStore) -> None:
    data = make_run_data(store, quick(overkill=0.34))
    check_summary(summarize(store, "class-mean", positions=data.sides["train"]), store, data)
    assert data.remarks == []


@pytest.mark.parametrize("side", ["val", "test", "aside"])
def test_a_summary_that_saw_a_held_out_sample_is_refused(side: str, store: EmbeddingStore) -> None:
    data = make_run_data(store, quick())
    leak = data.sides[side][:1]
    saw = summarize(store, "class-mean", positions=np.sort(np.concatenate([data.sides["train"], leak])))
    with pytest.raises(SummaryError, match=f"saw 1 pictures .* '{data.samples[leak[0]].id}'"):
        check_summary(saw, store, data)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SummaryFile]:
    """Files of a summary of the training side and of one of all; some pictures have no split."""
    place = tmp_path_factory.mktemp("files")
    rows = [*toy_parts.parts(), *(replace(row, path=f"new {row.path}", split="") for row in toy_parts.parts(2, 0, 0))]
    with embedstore.open(toy_parts.make_store(place, rows)) as store:
        for name, split in (("train", "train"), ("all", None)):
            store.summarize("class-mean", name=name, split=split)
            export(store, place / f"{name}.safetensors", summary=name)
    return {name: SummaryFile(place / f"{name}.safetensors") for name in ("train", "all")}


def leak(summary: Summary, source: Source, **changes: Any) -> str:
    """Return what is said of a summary that saw what is tested."""
    with pytest.raises(SummaryError, match="which would make its figures false; ") as caught:
        check_summary(summary, source, make_run_data(source, quick(**changes)))
    return str(caught.value).split("false; ")[1]


def test_how_to_mend_a_leak_fits_the_source_and_the_split(store: EmbeddingStore, files: dict[str, SummaryFile]) -> None:
    saw = summarize(store, "medoids", name="ours", k=2)
    assert leak(saw, store) == (
        f"make it from the training split: embedstore summarize '{store.path}' medoids --split train"
    )
    assert leak(saw, store, folds=5) == (
        "with folds, summaries are made anew from each fold's training side; give parameters (such as k, share) instead of "
        'summary = "ours".'
    )
    assert leak(files["all"].kept, files["all"]) == (
        "in the store that it was exported from, make it again from the training split and export that: embedstore "
        "summarize STORE class-mean --split train"
    )
    assert leak(files["train"].kept, files["train"], folds=5) == (
        "with folds, summaries are made anew from each fold's training side; leave the folds out (--no-folds), or take the "
        "store that the file was exported from."
    )


def test_a_file_with_samples_without_a_split_names_no_command_that_can_not_work(files: dict[str, SummaryFile]) -> None:
    assert make_run_data(files["train"], quick(overkill=0.34)).remarks == [
        "2 pictures have no split and take no part; give them one in the store that they were exported from, and export "
        "again"
    ]


@pytest.mark.parametrize(
    ("options", "name"), [({}, None), ({"k": 3}, None), ({"summary": "all"}, "all")], ids=["none", "made", "saved"]
)
def test_a_saved_summary_is_the_one_that_is_named(options: dict[str, Any], name: str | None, tmp_path: Path) -> None:
    with embedstore.open(toy_parts.make_store(tmp_path, toy_parts.parts(10, 10, 0))) as store:
        store.summarize("class-mean", name="all")
        found = saved_summary(store, options)
        assert (None if found is None else found.name) == name
        with pytest.raises(SummaryError, match="no summary 'other'"):
            saved_summary(store, {"summary": "other"})


def test_a_file_is_its_own_saved_summary(files: dict[str, SummaryFile]) -> None:
    file = files["train"]
    assert saved_summary(file, {}) is saved_summary(file, {"summary": "train"}) is file.kept
    with pytest.raises(SummaryError, match="holds the summary 'train', not 'all'"):
        saved_summary(file, {"summary": "all"})
    with pytest.raises(SettingsError, match="holds a finished summary, so none can be made"):
        saved_summary(file, {"per_class": 3})


def test_a_summary_of_another_teacher_is_refused(store: EmbeddingStore) -> None:
    data = make_run_data(store, quick())
    summary = summarize(store, "class-mean", positions=data.sides["train"])
    with pytest.raises(SummaryError, match=f"0123456789ab.*{store.fingerprint[:12]}"):
        check_summary(replace(summary, fingerprint="0123456789abcdef" * 2), store, data)


def test_an_unknown_summary_is_refused_before_anything_is_written(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match="no summary 'monday'"):
        distill.train(store, tmp_path / "run", of_policy("monday"))
    assert not (tmp_path / "run").exists()


def test_a_summary_that_lacks_a_label_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = toy_parts.parts(10, 10, 0)
    store_path = toy_parts.make_store(tmp_path, [row for row in rows if row.label == "good"])
    with embedstore.open(store_path) as store:
        store.summarize("class-mean", name="monday", split="train")
    with embedstore.open(toy_parts.make_store(tmp_path, rows)) as store:  # the first defects came on Tuesday
        with pytest.raises(SummaryError, match="'monday' has no prototype for the label 'defect'"):
            distill.train(store, tmp_path / "run", of_policy("monday"))
        assert not (tmp_path / "run").exists()


def test_a_summary_of_all_samples_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with embedstore.open(toy_parts.make_store(tmp_path, toy_parts.parts(10, 10, 0))) as store:
        store.summarize("class-mean", name="all")
        with pytest.raises(SummaryError, match="'all' saw 8 pictures"):
            distill.train(store, tmp_path / "run", of_policy("all"))
    assert not (tmp_path / "run").exists()


def test_a_summary_of_an_older_version_is_told(tmp_path: Path) -> None:
    path = toy_parts.make_store(tmp_path, toy_parts.everything())

    def remarks() -> list[str]:
        with embedstore.open(path) as store:
            data = make_run_data(store, quick(overkill=0.34))
            check_summary(store.summary("old"), store, data)
            return data.remarks

    with embedstore.open(path) as store:
        store.summarize("class-mean", name="old", split="train")
    assert remarks() == []
    manifest = tmp_path / "parts.csv"
    text = manifest.read_text("utf-8").replace("stripe000.png,defect,stripe", "stripe000.png,defect,other")
    manifest.write_text(text, "utf-8")
    embedstore.build(path, tmp_path / "images", manifest=manifest)
    assert remarks() == [
        "The summary 'old' was made of version 1 of the store, which is at version 2 now; what changed since then is not "
        "in it."
    ]
