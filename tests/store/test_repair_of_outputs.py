"""Repair of further outputs: damage there takes no sample, and the next build gives back what was lost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damaged_stores import change, entries_of, examined, flip_value, kinds, mended
from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import StoreError
from embedstore.store import layout
from embedstore.store.health import isolation
from embedstore.store.health.repair import RepairReport, repair
from embedstore.store.layout import VECTORS, Column
from embedstore.store.tables import Tables

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]
OUTPUTS = {"embedding": 12, "early": 4}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "run", mended)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", NAMES)
    return tmp_path / "images"


@pytest.fixture
def path(tmp_path: Path, images: Path) -> Path:
    """Return a store of 12 samples with one augmented view and two outputs, at version 1."""
    embedstore.build(tmp_path / "store", images, teacher=CountingTeacher(early=True), views=1)
    return tmp_path / "store"


def key_of(path: Path, output: str, view: int) -> bytes:
    with embedstore.open(path) as store:
        return layout.vector_key(Column(store.fingerprint, output, view), 0)


def damaged(path: Path, output: str, view: int) -> None:
    flip_value(path, entries_of(path)[VECTORS, key_of(path, output, view)])


def missing(path: Path, output: str, view: int) -> None:
    key = key_of(path, output, view)
    change(path, lambda tables: tables.drop_entry(VECTORS, key))


def infinite(path: Path, output: str, view: int) -> None:
    with embedstore.open(path) as store:
        column = Column(store.fingerprint, output, view)

    def put(tables: Tables) -> None:
        tables.put_vectors(column, np.array([3, 7]), np.full((2, OUTPUTS[output]), np.inf, np.float16))

    change(path, put)


def vectors(store: EmbeddingStore) -> dict[tuple[str, int], bytes]:
    return {(output, view): store.vectors(view=view, output=output).tobytes() for output in OUTPUTS for view in (0, 1)}


@pytest.mark.parametrize(("damage", "embedded"), [(damaged, 12), (missing, 12), (infinite, 2)])
def test_damage_in_a_further_output_takes_no_sample(
    path: Path, images: Path, damage: Callable[[Path, str, int], None], embedded: int
) -> None:
    with embedstore.open(path) as store:
        before, all_vectors = snapshot(store), vectors(store)
    damage(path, "early", 1)
    assert not examined(path).clean
    report = repair(path)
    aside = report.kept_aside
    assert report == RepairReport(str(path), True, 2, 12, outputs_incomplete=("early",), closed=(1,), kept_aside=aside)
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert snapshot(store) == before | {"version": 2}
        assert store.outputs == {"embedding": 12}
        assert store.vectors(output="early").tobytes() == all_vectors["early", 0]  # the plain view's is sound
        with pytest.raises(StoreError, match=r"Not all samples .* have view 1 of the output 'early' yet; run the same"):
            store.vectors(view=1, output="early")
    assert embedstore.build(path, images, teacher=CountingTeacher(early=True)).embedded == embedded
    assert examined(path).clean
    with embedstore.open(path) as store:
        assert (store.version, store.outputs, vectors(store)) == (2, OUTPUTS, all_vectors)


def test_damage_in_an_embedding_takes_its_samples_and_leaves_the_output(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        ids = store.ids
    infinite(path, "embedding", 0)
    report = repair(path)
    assert (report.embed_again, report.outputs_incomplete) == ((ids[3], ids[7]), ())
    with embedstore.open(path) as store:
        assert (len(store), store.outputs) == (10, OUTPUTS)


def test_samples_that_leave_take_their_damaged_output_along(path: Path, images: Path) -> None:
    infinite(path, "embedding", 0)
    infinite(path, "early", 0)  # of the same two
    report = repair(path)
    assert (len(report.embed_again), report.outputs_incomplete, report.samples) == (2, (), 10)
    with embedstore.open(path) as store:
        assert store.outputs == OUTPUTS
    report = repair(path)
    assert not report.changed
    assert embedstore.build(path, images, teacher=CountingTeacher(early=True)).new == 2
    assert examined(path).clean


def test_damage_that_only_an_earlier_version_meets_leaves_the_newest_alone(path: Path, images: Path) -> None:
    with embedstore.open(path) as store:
        row = int(store.rows[store.positions(["good/0.png"])[0]])
        column = Column(store.fingerprint, "early", 0)
    write_picture(images / "good/0.png", noise_picture(99))
    embedstore.build(path, images, teacher=CountingTeacher(early=True))
    with embedstore.open(path) as store:
        before = snapshot(store), vectors(store)
    change(path, lambda tables: tables.drop_vectors(column, np.array([row])))
    assert kinds(examined(path)) == {("hole", "earlier versions", 1)}
    report = repair(path)
    assert (report.version, report.closed, report.outputs_incomplete) == (2, (1,), ())
    with embedstore.open(path) as store:
        assert (snapshot(store), vectors(store)) == before
