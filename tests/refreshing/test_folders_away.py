"""While a folder is away, a copy elsewhere of one of its pictures is no move of it; a folder that was moved is one."""

from pathlib import Path

import pytest
from helpers import write_pictures

import embedstore
from embedstore.errors import ImagesError
from embedstore.refreshing import Plan
from embedstore.triage import Verdict, triage

NAMES = [f"good/{number}.png" for number in range(8)] + ["defect/0.png", "defect/1.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a split, groups and a corrected label, and its pictures."""
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        with store.write() as changes:
            changes.set("group", {name: f"part {number}" for number, name in enumerate(NAMES)})
            changes.set("split", {name: "test" if number % 2 else "train" for number, name in enumerate(NAMES)})
        triage(store, {"good/1.png": Verdict("wrong-label", "defect")})
    return tmp_path


def facts(root: Path, name: str) -> tuple[str | None, ...]:
    with embedstore.open(root / "s") as store:
        one = store.sample(name)
        return one.label, one.group, one.split, one.attributes.get("verdict")


@pytest.mark.parametrize("unmounted", [False, True])
@pytest.mark.parametrize("how", ["build", "refresh", "add"])
def test_a_copy_takes_nothing_along_while_the_folder_is_away(root: Path, how: str, *, unmounted: bool) -> None:
    """Nor where the folder is there and empty, as that of a disk that is not mounted."""
    images = root / "images"
    before = facts(root, "good/1.png")
    (images / "defect/copy.png").write_bytes((images / "good/1.png").read_bytes())
    (images / "good").rename(root / "away")
    if unmounted:
        (images / "good").mkdir()
    report: embedstore.BuildReport | Plan
    if how == "add":
        with pytest.raises(
            ImagesError, match=r"its folder '.*good' (is not there|holds none of its pictures), so nothing"
        ):
            embedstore.add(root / "s", images / "defect/copy.png")
    else:
        report = embedstore.build(root / "s", images) if how == "build" else embedstore.refresh(root / "s").plan
        assert (report.moved, report.away) == (0, ("good/1.png",))
        assert facts(root, "defect/copy.png") == ("defect", None, None, None)
    assert facts(root, "good/1.png") == before
    if unmounted:
        (images / "good").rmdir()
    (root / "away").rename(images / "good")
    assert embedstore.build(root / "s", images).removed == 0
    assert facts(root, "good/1.png") == before


@pytest.mark.parametrize("how", ["build", "refresh"])
@pytest.mark.parametrize("emptied", [False, True])
def test_a_folder_that_was_moved_is_not_away(root: Path, how: str, *, emptied: bool) -> None:
    images = root / "images"
    (images / "good").rename(images / "fine")
    (images / "fine/7.png").unlink()
    if emptied:
        (images / "good").mkdir()
    report: embedstore.BuildReport | Plan
    report = embedstore.build(root / "s", images) if how == "build" else embedstore.refresh(root / "s").plan
    assert (report.moved, report.away) == (7, ())
    assert facts(root, "fine/1.png") == ("fine", "part 1", "test", "wrong-label")


@pytest.mark.parametrize("how", ["build", "refresh"])
def test_a_folder_that_is_gone_for_good_is_pruned(root: Path, how: str) -> None:
    images = root / "images"
    (images / "defect/0.png").rename(images / "good/moved.png")
    (images / "defect/1.png").unlink()
    (images / "defect").rmdir()
    if how == "build":
        report: embedstore.BuildReport | Plan = embedstore.build(root / "s", images, prune=True)
    else:
        report = embedstore.refresh(root / "s", prune=True).plan
    assert (report.moved, report.away) == (1, ())
    with embedstore.open(root / "s") as store:
        assert set(store.ids) == {*NAMES, "good/moved.png"} - {"defect/0.png", "defect/1.png"}
    assert facts(root, "good/moved.png") == ("good", "part 8", "train", None)
