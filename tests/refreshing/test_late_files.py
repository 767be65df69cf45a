"""Rows of a manifest whose files are not there yet: the rest is refreshed where nothing can be lost by it."""

from pathlib import Path

import pytest
from helpers import noise_picture, write_picture, write_pictures
from toy_refresh import CRACK, GOOD, refresh_at, state

import embedstore
from embedstore.errors import ImagesError
from embedstore.images import ABSENT


def manifest(root: Path, *more: str, without: str = "") -> Path:
    """Write a manifest of the store's pictures and more; a row is a path, or a path and an id."""
    rows = [f"{one},{one}" for one in (*GOOD, *CRACK) if one != without]
    rows += [one if "," in one else f"{one},{one}" for one in more]
    (root / "m.csv").write_text("\n".join(["path,id", *rows]) + "\n", "utf-8")
    return root / "m.csv"


def test_a_late_file_is_set_aside_and_comes_in_when_it_is_there(root: Path) -> None:
    write_pictures(root / "images", ["good/new.png"], seed=5)
    listed = manifest(root, "good/new.png", "good/late.png")
    first = refresh_at(root, manifest=listed)
    assert (first.plan.new, dict(first.plan.unreadable)) == (("good/new.png",), {"good/late.png": ABSENT})
    assert first.pictures is not None
    assert (first.pictures.new, first.pictures.removed, first.pictures.set_aside) == (1, 0, 1)
    assert refresh_at(root, manifest=listed).version == first.version
    write_pictures(root / "images", ["good/late.png"], seed=6)
    second = refresh_at(root, manifest=listed)
    assert (second.plan.new, dict(second.plan.unreadable)) == (("good/late.png",), {})
    assert ids(root) == {*GOOD, *CRACK, "good/new.png", "good/late.png"}


def ids(root: Path) -> set[str]:
    with embedstore.open(root / "store") as store:
        return set(store.ids)


@pytest.mark.parametrize("prune", [False, True])
def test_what_may_be_known_under_another_name_keeps_all_as_it_is(root: Path, prune: bool) -> None:
    """The copy lags behind: the picture is under no name, and its new one is listed."""
    before = state(root)
    listed = manifest(root, "good/renamed.png", without=GOOD[2])
    (root / "images" / GOOD[2]).rename(root / "renamed.png")
    if prune:
        with pytest.raises(
            ImagesError, match=r"not there \(1, such as 'good/renamed.png'\), and pictures .* leave \(1\)"
        ):
            refresh_at(root, manifest=listed)
        assert state(root) == before
    else:
        assert refresh_at(root, manifest=listed, prune=False).plan.gone == (GOOD[2],)
    (root / "renamed.png").rename(root / "images" / "good" / "renamed.png")
    assert refresh_at(root, manifest=listed, prune=prune).plan.moved == 1
    assert ids(root) == {*GOOD, *CRACK, "good/renamed.png"} - {GOOD[2]}


def test_a_known_name_with_another_picture_waits_for_the_late_file(root: Path) -> None:
    before = state(root)
    listed = manifest(root, "good/late.png")
    kept = (root / "images" / GOOD[0]).read_bytes()
    write_picture(root / "images" / GOOD[0], noise_picture(99, (5, 4)))
    with pytest.raises(ImagesError, match=r"pictures of the store changed or leave \(1\)"):
        refresh_at(root, manifest=listed)
    assert state(root) == before
    (root / "images" / "good" / "late.png").write_bytes(kept)
    assert refresh_at(root, manifest=listed).plan.moved == 1


def test_absent_files_of_known_samples_or_of_most_rows_are_refused(root: Path) -> None:
    before = state(root)
    many = [f"good/late{number:02}.png" for number in range(len(GOOD) + len(CRACK) + 1)]
    with pytest.raises(ImagesError, match="21 of the 41 files in the manifest"):
        refresh_at(root, manifest=manifest(root, *many))
    assert len(refresh_at(root, manifest=manifest(root, *many[1:]), dry_run=True).plan.unreadable) == 20
    twice = manifest(root, "good/late.png,x", "good/later.png,x")
    with pytest.raises(ImagesError, match=r"gives 1 ids more than once \('x'\)"):
        refresh_at(root, manifest=twice)
    (root / "images" / CRACK[0]).unlink()
    for listed in (manifest(root), manifest(root, f"{CRACK[0]},another id", without=CRACK[0])):
        with pytest.raises(ImagesError, match=r"1 of the 20 files .*wait until the files are there"):
            refresh_at(root, manifest=listed)
    assert state(root) == before
