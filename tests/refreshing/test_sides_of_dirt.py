"""Dirt goes back to the side of its own picture, whatever names pictures have had since."""

from pathlib import Path

import pytest
from helpers import write_pictures

import embedstore
from embedstore.errors import StoreError
from embedstore.triage import Verdict, triage

NAMES = [f"good/{number}.png" for number in range(6)]
RARE = Verdict("rare")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a split, and a test picture that is dirt."""
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        with store.write() as changes:
            changes.set("split", {name: "test" if number % 2 else "train" for number, name in enumerate(NAMES)})
        triage(store, {"good/1.png": Verdict("dirt")})
    return tmp_path


def name(root: Path, **names: str) -> None:
    """Give files of the folder `good` other names at once, and build; '' removes one."""
    folder = root / "images" / "good"
    data = {after: (folder / f"{before[1:]}.png").read_bytes() for before, after in names.items()}
    for before in names:
        (folder / f"{before[1:]}.png").unlink()
    for after, content in data.items():
        if after:
            (folder / f"{after}.png").write_bytes(content)
    embedstore.build(root / "s", root / "images")


def called_rare(root: Path, sample_id: str) -> str | None:
    with embedstore.open(root / "s") as store:
        triage(store, {sample_id: RARE})
        return store.sample(sample_id).split


def taken_again(root: Path, sample_id: str) -> str | None:
    write_pictures(root / "images", [sample_id], seed=9)
    assert embedstore.build(root / "s", root / "images").sides_unknown == ()
    with embedstore.open(root / "s") as store:
        return store.sample(sample_id).split


@pytest.mark.parametrize("after", [called_rare, taken_again])
@pytest.mark.parametrize(
    ("names", "dirt"),
    [
        ({"_1": "renamed"}, "good/renamed.png"),
        ({"_1": "2", "_2": "1"}, "good/2.png"),
        ({"_0": "", "_1": "0", "_2": "1", "_3": "2", "_4": "3", "_5": "4"}, "good/0.png"),
    ],
    ids=["renamed", "swapped", "numbered anew"],
)
def test_dirt_that_was_renamed_goes_back_to_its_own_side(
    root: Path, after: object, names: dict[str, str], dirt: str
) -> None:
    name(root, **names)
    assert callable(after)
    assert after(root, dirt) == "test"


def test_dirt_that_was_renamed_twice_beside_a_copy_goes_back_to_its_own_side(root: Path) -> None:
    (root / "images/good/copy.png").write_bytes((root / "images/good/1.png").read_bytes())
    embedstore.build(root / "s", root / "images")
    with embedstore.open(root / "s") as store, store.write() as changes:
        changes.set("split", {"good/copy.png": "train"})
    name(root, _1="2", _2="1")
    name(root, _2="7", _1="2")
    name(root, _copy="8")
    assert called_rare(root, "good/7.png") == "test"


def test_dirt_that_was_deleted_and_brought_back_goes_back_to_its_side(root: Path) -> None:
    with embedstore.open(root / "s") as store:
        version = store.version
        with store.write("delete") as changes:
            changes.delete(["good/1.png"])
    embedstore.rollback(root / "s", version)
    assert called_rare(root, "good/1.png") == "test"


def test_dirt_of_a_manifest_stays_where_it_came_to(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", NAMES)
    manifest = tmp_path / "parts.csv"
    manifest.write_text("path,split,verdict\ngood/0.png,train,\ngood/1.png,aside,dirt\n", "utf-8")
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher="pixels", views=0)
    assert called_rare(tmp_path, "good/1.png") == "aside"


@pytest.mark.parametrize("compact", [False, True])
def test_a_store_that_was_never_split_has_lost_no_side(tmp_path: Path, *, compact: bool) -> None:
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        triage(store, {"good/0.png": Verdict("dirt"), "good/1.png": Verdict("dirt")})
        if compact:
            store.compact()
    assert called_rare(tmp_path, "good/0.png") is None
    assert taken_again(tmp_path, "good/1.png") is None


def test_where_the_side_is_lost_a_renamed_one_is_refused(root: Path) -> None:
    name(root, _1="renamed")
    with embedstore.open(root / "s") as store:
        store.compact()
    with pytest.raises(StoreError, match=r"'good/renamed\.png' was set aside as dirt, and nothing tells any more"):
        called_rare(root, "good/renamed.png")
