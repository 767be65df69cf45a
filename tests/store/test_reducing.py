"""Fewer axes: those that NumPy's own arithmetic finds for the training side, kept with the store, and what is refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, unit_vectors
from toy_thinning import DIM, GROUPS, IDS, LABELS, SPLITS, TRAIN, VECTORS, VIEWS, stored

import embedstore
from embedstore.errors import CorruptStoreError, SettingsError, TeacherError
from embedstore.store import layout
from embedstore.store.writing import writer
from embedstore.teachers.reduction import KIND, Reduction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stored(tmp_path / "store")


def by_svd(vectors: npt.NDArray[np.float16], dims: int) -> npt.NDArray[np.float64]:
    """Return what vectors (n, d) are on the axes of the training side, but for each axis's sign."""
    centre = VECTORS[0][TRAIN].astype(np.float64).mean(axis=0)

    def directions(some: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
        off = some.astype(np.float64) - centre
        return off / np.linalg.norm(off, axis=1, keepdims=True)

    axes = np.linalg.svd(directions(VECTORS[0][TRAIN]))[2][:dims]
    found = directions(vectors) @ axes.T
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_fewer_axes_are_those_of_the_training_side(path: Path, tmp_path: Path) -> None:
    report = embedstore.thin(path, tmp_path / "small", dims=5)
    assert (report.dim, report.dim_before, report.teacher) == (5, DIM, "reduced:5:by hand")
    with embedstore.open(tmp_path / "small") as small, embedstore.open(path) as store:
        assert small.fingerprint != store.fingerprint
        found = np.stack([small.vectors(view=view) for view in range(VIEWS + 1)])
    expected = np.stack([by_svd(VECTORS[view], 5) for view in range(VIEWS + 1)])
    signs = np.sign((found[0] * expected[0]).sum(axis=0))  # of an axis, nobody can say which way it points
    np.testing.assert_allclose(found, expected * signs, atol=2e-3)  # centre and axes are kept as float16
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=2e-3)
    assert embedstore.verify(tmp_path / "small").findings == ()


def test_what_is_held_out_decides_nothing_of_the_axes(path: Path, tmp_path: Path) -> None:
    embedstore.thin(path, tmp_path / "small", dims=5)
    moved = VECTORS.copy()
    moved[:, ~TRAIN] = unit_vectors(99, int((~TRAIN).sum()), DIM)
    store_of(tmp_path / "other", moved, ids=IDS, labels=LABELS, groups=GROUPS, splits=SPLITS).close()
    embedstore.thin(tmp_path / "other", tmp_path / "other small", dims=5, where={"label": "good"})
    with embedstore.open(tmp_path / "small") as one, embedstore.open(tmp_path / "other small") as other:
        assert one.fingerprint == other.fingerprint


def test_one_more_number_in_the_axes_is_another_teacher(path: Path, tmp_path: Path) -> None:
    prints = set()
    for dims in (4, 5):
        embedstore.thin(path, tmp_path / f"small {dims}", dims=dims)
        with embedstore.open(tmp_path / f"small {dims}") as small:
            prints.add(small.fingerprint)
            reduction = Reduction.from_dict(small.space[KIND])
        other = Reduction(reduction.teacher, "0" * 32, reduction.centre, reduction.axes)
        assert reduction.fingerprint != other.fingerprint
        prints.add(other.fingerprint)
    assert len(prints) == 4


def test_axes_need_a_training_side_and_are_cut_once(path: Path, tmp_path: Path) -> None:
    store_of(tmp_path / "unsplit", VECTORS, ids=IDS).close()
    with pytest.raises(SettingsError, match="write a split first: embedstore split"):
        embedstore.thin(tmp_path / "unsplit", tmp_path / "small", dims=3)
    embedstore.thin(path, tmp_path / "small", dims=5)
    with pytest.raises(SettingsError, match="are on 5 axes already"):
        embedstore.thin(tmp_path / "small", tmp_path / "smaller", dims=3)
    report = embedstore.thin(tmp_path / "small", tmp_path / "smaller", views=0)
    assert (report.dim, report.loss.overlap) == (5, 1.0)


def test_the_name_alone_loads_nothing() -> None:
    with pytest.raises(TeacherError, match=r"can't be loaded by its name, for its axes are in the thinned store alone"):
        embedstore.load_teacher("reduced:5:pixels")


@pytest.mark.parametrize("fault", ["fewer", "nan", "text", "teacher", "none"])
def test_axes_that_can_not_be_are_corruption(fault: str, path: Path, tmp_path: Path) -> None:
    embedstore.thin(path, tmp_path / "small", dims=5)
    with embedstore.open(tmp_path / "small") as small:
        space, described = small.fingerprint, small.space
    told = dict(described[KIND])
    told |= {
        "fewer": {"axes": told["axes"][: 2 * DIM * 4]},
        "nan": {"axes": b"\xff" * len(told["axes"])},
        "text": {"axes": "axes"},
        "teacher": {"of": "no fingerprint"},
        "none": {"centre": b""},
    }[fault]
    with writer(tmp_path / "small") as session:
        session.write(
            lambda tables: tables.put_entry(
                layout.META, f"space:{space}".encode(), layout.pack({**described, KIND: told})
            )
        )
    with pytest.raises(CorruptStoreError):
        embedstore.open(tmp_path / "small")
