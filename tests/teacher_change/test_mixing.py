"""Nothing of one teacher is taken for the other's: summaries, their estimates, files, runs, indexes and kept maps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, write_pictures
from two_teachers import TURN, TurnedTeacher, built

import embedstore
from embedstore import Summary
from embedstore.analysis.drift.reference import reference_of
from embedstore.analysis.odd_samples import find_odd
from embedstore.errors import SummaryError, TeacherMismatchError
from embedstore.exports import SummaryFile
from embedstore.refreshing.plan import STAYS, UPDATE
from embedstore.store.writing import writer
from embedstore.summaries.estimate import Estimate
from embedstore.summaries.updating import update
from embedstore.teacher_change import drop_old
from embedstore.teachers import TEACHERS
from embedstore.vectors import unit_length

FIRST, SECOND = CountingTeacher().fingerprint, TurnedTeacher().fingerprint


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with a summary of its first teacher."""
    path = built(tmp_path / "store")
    with embedstore.open(path) as opened:
        opened.summarize("sub-prototypes", name="old", k=2)
    return path


def mapped(store: Path, kind: str = "orthogonal", **options: object) -> Summary:
    report = embedstore.migrate(store, TurnedTeacher(), map=kind, **options)  # type: ignore[arg-type]
    assert report.map is not None
    with embedstore.open(store) as opened:
        return opened.summary(report.map.mapped["old"])


def test_a_mapped_summary_is_the_old_one_turned_and_says_what_it_is(store: Path) -> None:
    found = mapped(store)
    with embedstore.open(store) as opened:
        old = opened.summary("old")
        summary = opened.summarize("sub-prototypes", k=2)
    assert (found.name, found.fingerprint) == ("old.orthogonal-24", SECOND)
    np.testing.assert_allclose(found.vectors, old.vectors @ TURN, atol=2e-3)  # a turn is all that there is between them
    np.testing.assert_allclose(found.centre, summary.centre, atol=2e-3)
    estimate = found.estimate
    assert isinstance(estimate, Estimate)
    assert (estimate.teacher, estimate.fingerprint, estimate.samples, estimate.groups) == ("counting", FIRST, 24, 24)
    assert estimate.cosine > 0.999
    assert estimate.cosine_p5 > 0.999
    assert estimate.cosine_of_mean < 0.95
    assert (estimate.same_prototype, estimate.same_label) == (1, 1)
    assert "'counting'" in estimate.in_words()
    assert "estimate" in estimate.in_words()
    assert old.estimate is None
    assert summary.estimate is None


def test_an_estimate_stays_one_through_bytes_and_an_export(store: Path, tmp_path: Path) -> None:
    found = mapped(store, "linear")
    again = Summary.from_bytes(found.to_bytes())
    assert again.estimate == found.estimate
    assert again.estimate is not None
    with embedstore.open(store) as opened:
        embedstore.export(opened, tmp_path / "mapped.safetensors", summary=found.name)
    file = SummaryFile(tmp_path / "mapped.safetensors")
    assert (file.kept.estimate, file.fingerprint, file.teacher) == (found.estimate, SECOND, "turned")


def test_a_release_that_knows_no_estimates_refuses_one(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mapped(store).to_bytes()
    monkeypatch.setattr("embedstore.summaries.summary._ESTIMATED", 3)
    with pytest.raises(SummaryError, match="format 4"):
        Summary.from_bytes(data)


def test_it_serves_before_the_rest_is_embedded(store: Path) -> None:
    found = mapped(store, sample=10)
    assert found.name == "old.orthogonal-10"
    assert found.estimate is not None
    assert found.estimate.samples == 10
    with embedstore.open(store) as opened:
        assert opened.fingerprint == FIRST
        assert opened.summary("old.orthogonal-10").fingerprint == SECOND
    assert embedstore.migrate(store, TurnedTeacher(), map="orthogonal").map.mapped == {"old": "old.orthogonal-24"}  # type: ignore[union-attr]
    assert embedstore.migrate(store, TurnedTeacher(), map="orthogonal").map.mapped == {"old": "old.orthogonal-24"}  # type: ignore[union-attr]


def test_axes_are_turned_and_codes_are_left_out(store: Path) -> None:
    with embedstore.open(store) as opened:
        opened.summarize("class-distribution", name="spread")
        opened.summarize("compressed-own", name="codes")
        axes = opened.summary("spread").axes
    report = embedstore.migrate(store, TurnedTeacher(), map="orthogonal")
    assert report.map is not None
    assert set(report.map.left_out) == {"codes"}
    with embedstore.open(store) as opened:
        turned = opened.summary(report.map.mapped["spread"]).axes
    assert axes is not None
    assert turned is not None
    np.testing.assert_allclose(turned, axes @ TURN, atol=3e-3)


def test_an_old_summary_is_refused_after_the_switch_and_serves_its_version(store: Path, tmp_path: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        with pytest.raises(SummaryError, match="another teacher"):
            find_odd(opened, against="old")
        with pytest.raises(SummaryError, match=r"another teacher.*--version 1"):
            embedstore.export(opened, tmp_path / "old.safetensors", summary="old")
    with embedstore.open(store, version=1) as opened:
        embedstore.export(opened, tmp_path / "old.safetensors", summary="old")
    file = SummaryFile(tmp_path / "old.safetensors")
    assert (file.fingerprint, file.teacher) == (FIRST, "counting")
    embedstore.migrate(store, back=True)
    with embedstore.open(store) as opened:
        find_odd(opened, against="old")


def test_odd_samples_are_not_told_by_an_estimate(store: Path) -> None:
    name = mapped(store).name
    with embedstore.open(store) as opened, pytest.raises(SummaryError, match="is an estimate"):
        find_odd(opened, against=name)


def test_a_compaction_keeps_the_version_of_an_old_summary_until_it_is_dropped(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        opened.compact()
    with embedstore.open(store, version=1) as opened:
        assert opened.fingerprint == FIRST
        assert len(opened.vectors()) == 24


def test_a_search_finds_by_the_vectors_of_its_version(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as now, embedstore.open(store, version=1) as then:
        np.testing.assert_allclose(now.vectors(), unit_length(then.vectors() @ TURN), atol=2e-3)
        assert [hit.id for hit in now.search(now.vectors()[0], top=3)[0]] == [
            hit.id for hit in then.search(then.vectors()[0], top=3)[0]
        ]


def test_a_kept_map_is_offered_for_its_own_teacher_only(store: Path) -> None:
    maps = pytest.importorskip("embedstore_inspector.maps")
    places = np.arange(48, dtype=np.float32).reshape(24, 2)
    with embedstore.open(store) as opened:
        maps.keep_map(opened, "umap", places)
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        assert maps.kept_maps(opened) == []
        maps.keep_map(opened, "umap", places + 1)
    embedstore.migrate(store, back=True)
    with embedstore.open(store) as opened:
        assert np.array_equal(maps.kept_map(opened, "umap"), places)


def test_an_estimate_whose_figures_are_none_is_refused(store: Path) -> None:
    found = mapped(store)
    assert found.estimate is not None
    for wrong in ({"samples": "many"}, {"cosine": None}, {"strength": "strong"}, {"teacher": 3}):
        data = replace(found, estimate=replace(found.estimate, **wrong)).to_bytes()  # type: ignore[arg-type]
        with pytest.raises(SummaryError, match="no summary"):
            Summary.from_bytes(data)


class Third(TurnedTeacher):
    """Yet another teacher, in the space of `TurnedTeacher`."""

    def __init__(self) -> None:
        super().__init__("third")


def test_an_estimate_for_one_teacher_is_never_told_as_anothers(store: Path) -> None:
    assert embedstore.migrate(store, TurnedTeacher(), sample=10, map="linear").map.mapped == {"old": "old.linear-10"}  # type: ignore[union-attr]
    report = embedstore.migrate(store, Third(), sample=10, map="linear").map
    assert report is not None
    assert report.mapped == {}
    assert "--delete 'old.linear-10'" in report.left_out["old"]
    with embedstore.open(store) as opened:
        assert opened.summary("old.linear-10").fingerprint == SECOND
        opened.delete_summary("old.linear-10")
    assert embedstore.migrate(store, Third(), sample=10, map="linear").map.mapped == {"old": "old.linear-10"}  # type: ignore[union-attr]


def test_a_refresh_after_the_switch_leaves_an_estimate_as_it_is(store: Path) -> None:
    name = mapped(store).name
    with embedstore.open(store) as opened:
        opened.summarize("sub-prototypes", name="new", k=2)
    saved = bytes_of(store, name)
    write_pictures(store.parent / "images", ["good/95.png"], seed=5)
    report = embedstore.refresh(store, teacher=TurnedTeacher())
    assert {one.name: one.how for one in report.plan.summaries} == {"old": STAYS, name: STAYS, "new": UPDATE}
    why = {one.name: one.why for one in report.plan.summaries}[name]
    assert why.startswith("it is an estimate; ")
    assert why.endswith(f"embedstore summarize '{store}' sub-prototypes --name NAME")
    assert set(report.summaries) == {"new"}
    assert bytes_of(store, name) == saved
    with embedstore.open(store) as opened:
        assert opened.summary(name).estimate is not None
        assert update(opened, saved, limit=0, version=opened.version + 1).summary is None
    assert embedstore.refresh(store, teacher=TurnedTeacher()).plan.nothing


def bytes_of(store: Path, name: str) -> bytes:
    with embedstore.open(store) as opened:
        return opened.look(lambda tables: tables.summary(name)) or b""


@pytest.mark.parametrize("verb", [embedstore.build, embedstore.add])
def test_a_picture_whose_teacher_was_loaded_during_a_switch_is_refused(
    verb: Callable[..., object], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = store.parent / "images"
    write_pictures(images, ["good/95.png"], seed=5)

    def load(argument: str, outputs: tuple[str, ...]) -> CountingTeacher:
        embedstore.migrate(store, TurnedTeacher())
        return CountingTeacher()

    monkeypatch.setitem(TEACHERS, "slow", load)
    with pytest.raises(TeacherMismatchError, match="filled by the teacher 'turned'"):
        verb(store, images, teacher="slow")
    with embedstore.open(store) as opened:
        assert (opened.version, opened.fingerprint, "good/95.png" in opened) == (2, SECOND, False)
    assert embedstore.verify(store).findings == ()


def test_an_estimate_is_exported_ahead_of_the_switch_and_said_to_be_of_the_new_teacher(
    store: Path, tmp_path: Path
) -> None:
    with embedstore.open(store) as opened:
        opened.summarize("medoids", name="pictures", k=2)
    found = mapped(store, sample=10)
    with embedstore.open(store) as opened:
        embedstore.export(opened, tmp_path / "ahead.safetensors", summary="old.orthogonal-10")
        with pytest.raises(SummaryError, match="are pictures"):
            embedstore.export(opened, tmp_path / "pictures.safetensors", summary="pictures.orthogonal-10")
    file = SummaryFile(tmp_path / "ahead.safetensors")
    assert (file.fingerprint, file.teacher, file.kept.estimate) == (SECOND, "turned", found.estimate)
    np.testing.assert_array_equal(file.kept.vectors, found.vectors)


def test_an_estimate_whose_version_was_dropped_is_not_exported(store: Path, tmp_path: Path) -> None:
    name = mapped(store).name
    drop_old(store)
    with embedstore.open(store) as opened, pytest.raises(SummaryError, match="made of version 1, which was removed"):
        embedstore.export(opened, tmp_path / "late.safetensors", summary=name)


def test_drift_is_not_told_by_an_estimate(store: Path) -> None:
    name = mapped(store).name
    with embedstore.open(store) as opened, pytest.raises(SummaryError, match="look like drift"):
        reference_of(opened, set(), against=name)


def test_a_summary_that_a_refresh_replaced_is_not_mapped(store: Path) -> None:
    with embedstore.open(store) as opened:
        data = replace(opened.summary("old"), name="old").to_bytes()
    with writer(store) as session:
        session.write(lambda tables: tables.put_summary("old@1", data))
    report = embedstore.migrate(store, TurnedTeacher(), map="linear").map
    assert report is not None
    assert (report.mapped, report.left_out) == ({"old": "old.linear-24"}, {})
