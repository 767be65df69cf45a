"""Repair of augmented views: damage there takes no sample, and a build that asks for as many gives back what was lost."""

from pathlib import Path

import pytest
from damaged_stores import change, entries_of, examined, flip_value, mended
from helpers import CountingTeacher, snapshot, write_pictures

import embedstore
from embedstore.store import layout
from embedstore.store.health import isolation
from embedstore.store.health.repair import RepairReport, repair
from embedstore.store.layout import VECTORS, Column

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]
VIEWS = 3


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "run", mended)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(tmp_path: Path, images: Path) -> Path:
    """Return a store of 12 samples with three augmented views and two outputs, at version 1."""
    embedstore.build(tmp_path / "store", images, teacher=CountingTeacher(early=True), views=VIEWS)
    return tmp_path / "store"


def key_of(path: Path, output: str, view: int) -> bytes:
    with embedstore.open(path) as store:
        return layout.vector_key(Column(store.fingerprint, output, view), 0)


def test_damage_in_an_augmented_view_takes_no_sample(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        before, early = snapshot(store), store.vectors(view=3, output="early").tobytes()
    flip_value(path, entries_of(path)[VECTORS, key_of(path, "embedding", 2)])
    assert not examined(path).clean
    report = repair(path)
    assert report == RepairReport(
        str(path), True, 2, 12, views=1, views_incomplete=2, closed=(1,), kept_aside=report.kept_aside
    )
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert (store.views, store.outputs) == (1, {"embedding": 12, "early": 4})
        after = snapshot(store)
        assert after["samples"] == before["samples"]
        assert after["vectors"] == {view: before["vectors"][view] for view in (0, 1)}
    # Only the lost view is embedded again; the one behind it was sound.
    assert embedstore.build(path, images, teacher=CountingTeacher(early=True), views=VIEWS).embedded == 12
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert snapshot(store)["vectors"] == before["vectors"]
        assert (store.outputs, store.vectors(view=3, output="early").tobytes()) == (
            {"embedding": 12, "early": 4},
            early,
        )


def test_an_output_that_is_damaged_in_an_earlier_view_is_told_beside_it(path: Path) -> None:
    embedding, early, behind = (key_of(path, *which) for which in (("embedding", 3), ("early", 1), ("early", 3)))
    for key in (embedding, early, behind):
        change(path, lambda tables, key=key: tables.drop_entry(VECTORS, key))  # type: ignore[misc]
    report = repair(path)
    assert (report.samples, report.views, report.views_incomplete) == (12, 2, 1)
    assert report.outputs_incomplete == ("early",)
    with embedstore.open(path) as store:
        assert (store.views, store.outputs) == (2, {"embedding": 12})
    assert examined(path).clean
