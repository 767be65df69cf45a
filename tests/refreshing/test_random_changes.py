"""Whatever happens to the folder, a refresh brings the store to what the folder holds, and a rollback to any state before."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, assert_same_to_a_float16_step, by_hand, noise_picture, write_picture
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_refresh import seen

import embedstore
from embedstore.errors import ImagesError
from embedstore.vectors import unit_length

NAMES = [f"{label}/{number}.png" for label in ("good", "crack", "pore") for number in range(4)]
STEPS = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3) | st.none(), min_size=1, max_size=5),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=4,
)


def put(images: Path, changes: dict[str, int | None]) -> None:
    """Write pictures of some contents, or remove them."""
    for name, content in changes.items():
        if content is None:
            (images / name).unlink(missing_ok=True)
        else:
            write_picture(images / name, noise_picture(NAMES.index(name) * 10 + content, (5, 4)))


def assert_is_the_folder(path: Path, images: Path) -> None:
    """Assert by other means than the store's own that samples, vectors and summaries are what the folder holds."""
    listed = {file.relative_to(images).as_posix() for file in images.rglob("*.png")}
    teacher = CountingTeacher()
    with embedstore.open(path) as store:
        assert set(store.ids) == listed
        assert {one.id: one.label for one in store.samples} == {name: name.split("/")[0] for name in listed}
        for name in listed:
            expected = by_hand(teacher, images, name, name, 1, store.recipe)
            assert_same_to_a_float16_step(store.vectors([name], view=1)[0], expected)
        vectors, labels = store.vectors().astype(np.float64), np.array(store.labels)
        mean = store.summary("mean")
        assert mean.labels == sorted(set(labels))
        for label, vector, count in zip(mean.labels, mean.vectors, mean.counts, strict=True):
            assert count == (labels == label).sum()
            np.testing.assert_allclose(vector, vectors[labels == label].mean(axis=0), rtol=0, atol=1e-6)
        clusters = store.summary("k2")
        assert set(clusters.seen) == listed
        towards = unit_length(clusters.vectors).astype(np.float64)
        for one, served, label in zip(clusters.seen, clusters.serving, store.labels, strict=True):
            assert {clusters.labels[at] for at in served} == {store.sample(one).label}, label
        lengths = np.linalg.norm(
            unit_length(store.vectors(clusters.seen)).astype(np.float64) - towards[clusters.serving[:, 0]], axis=1
        )
        for label, loss in clusters.averaging_loss.items():
            own = np.array([store.sample(one).label == label for one in clusters.seen])
            np.testing.assert_allclose(loss.mean, lengths[own].mean(), atol=1e-6)


def refresh(path: Path, images: Path) -> None:
    """Bring the store to what the folder holds; where most pictures are gone, that is refused, and these are put back."""
    with embedstore.open(path) as store:
        gone = [name for name in store.ids if not (images / name).exists()]
        most = 2 * len(gone) > len(store)
    if most:
        with pytest.raises(ImagesError, match="so nothing was removed; put them back"):
            embedstore.refresh(path, teacher=CountingTeacher(), prune=True)
        put(images, dict.fromkeys(gone, 0))
    embedstore.refresh(path, teacher=CountingTeacher(), prune=True)
    assert_is_the_folder(path, images)


@settings(max_examples=15)
@given(steps=STEPS)
@example(steps=[dict.fromkeys(NAMES[:3]), 0.0, dict.fromkeys(NAMES[3:5])])  # rolled back, so five of nine are gone
def test_a_refresh_brings_any_changes_in_and_a_rollback_takes_them_out(
    steps: list[dict[str, int | None] | float],
) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        images, path = root / "images", root / "store"
        put(images, dict.fromkeys(NAMES[:8], 0))
        write_picture(images / "spare" / "0.png", noise_picture(999, (5, 4)))  # a folder is never empty
        embedstore.build(path, images, teacher=CountingTeacher(), views=1)
        with embedstore.open(path) as store:
            store.summarize("class-mean", name="mean")
            store.summarize("sub-prototypes", name="k2", k=2)
        states = [seen(path)]
        for step in steps:
            if isinstance(step, dict):
                put(images, step)
                refresh(path, images)
            else:
                with embedstore.open(path) as store:
                    version = 1 + int(step * (store.version - 1))
                embedstore.rollback(path, version)
            with embedstore.open(path) as store:
                newest = store.version
            states += [seen(path, number) for number in range(len(states) + 1, newest + 1)]
            if not isinstance(step, dict):
                assert states[-1] == states[version - 1]
            assert [seen(path, number) for number in range(1, newest + 1)] == states
        refresh(path, images)
    finally:
        shutil.rmtree(root)
