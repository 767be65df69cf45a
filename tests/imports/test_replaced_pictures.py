"""A store's own export that comes in again in place of its samples: it stays known which picture each of them is."""

from pathlib import Path

import numpy as np
import pytest
from helpers import write_pictures

import embedstore
from embedstore import EmbeddingStore
from embedstore.exports import export
from embedstore.imports import import_vectors

NAMES = ["bad/4.png", "good/1.png", "good/2.png", "good/3.png"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A store with labels and sides that people gave, and `v.safetensors`, its export."""
    write_pictures(tmp_path / "photos", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        with store.write() as changes:
            changes.set("label", {"good/1.png": "scratch"})
            changes.set("split", dict(zip(NAMES, ("train", "test", "train", "val"), strict=True)))
        export(store, tmp_path / "v.safetensors")
    return tmp_path / "s"


def contents(store: EmbeddingStore) -> dict[str, bytes]:
    return {name: store.content_at(at) for at, name in enumerate(store.ids)}


def test_the_same_vectors_leave_every_picture_known(built: Path, tmp_path: Path) -> None:
    with embedstore.open(built) as store:
        before = contents(store)
    report = import_vectors(built, tmp_path / "v.safetensors", replace=True)
    assert (report.count, report.replaced, report.unknown_pictures) == (4, 4, 0)
    with embedstore.open(built) as store:
        assert contents(store) == before
        assert len(set(before.values()) - {bytes(16)}) == 4


def test_a_picture_that_is_renamed_afterwards_keeps_its_label_and_side(built: Path, tmp_path: Path) -> None:
    import_vectors(built, tmp_path / "v.safetensors", replace=True)
    (tmp_path / "photos/good/1.png").rename(tmp_path / "photos/good/9.png")
    report = embedstore.refresh(built, prune=True)
    assert report.pictures is not None
    assert (report.pictures.moved, report.pictures.changed, report.pictures.embedded) == (1, 0, 1)
    with embedstore.open(built) as store:
        assert (store.sample("good/9.png").label, store.sample("good/9.png").split) == ("scratch", "test")


def test_other_vectors_are_counted_and_only_their_pictures_embedded_anew(built: Path, tmp_path: Path) -> None:
    with embedstore.open(built) as store:
        before, vectors = contents(store), store.vectors(NAMES).astype(np.float16)
        with store.write() as changes:
            bits = vectors.view(np.uint16).copy()
            bits[2, 0] ^= 1  # the last bit of one number
            changes.add([*NAMES, "new"], np.concatenate([bits.view(np.float16), vectors[:1]]), replace=True)
            assert changes.unknown_pictures == 1
        assert contents(store) == before | {"good/2.png": bytes(16), "new": bytes(16)}
    report = import_vectors(built, tmp_path / "v.safetensors", replace=True)
    assert (report.replaced, report.unknown_pictures) == (4, 0)  # that of 'good/2.png' was unknown before
    pictures = embedstore.refresh(built).pictures
    assert pictures is not None
    assert (pictures.changed, pictures.embedded, pictures.new) == (1, 1, 0)


def test_one_change_of_many_parts_gives_each_sample_its_own_picture(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedstore.store.changes._AT_ONCE", 2)
    with embedstore.open(built) as store:
        before, order = contents(store), NAMES[::-1]
        with store.write() as changes:
            changes.add(order[:3], store.vectors(order[:3]), replace=True)
            changes.add(order[3:], store.vectors(order[3:]), replace=True)
        assert contents(store) == before
        assert store.ids == order
