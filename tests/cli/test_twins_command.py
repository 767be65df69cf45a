"""embedstore twins, as installed, on real files."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from helpers import smooth_picture, store_of, unit_vectors
from PIL import Image
from toy_commands import call, refused

import embedstore

PARTS, TWICE = 70, 20
Photo = tuple[int, int]
PHOTOS: list[Photo] = [(part, photo) for part in range(PARTS) for photo in range(1 + (part < TWICE))]
HOSTILE = "[bold]部品[red] <b>\x1b[31m"


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """70 parts, of which the first 20 were photographed twice, the second time darker; the manifest knows 4 of them."""
    (tmp_path / "photos").mkdir()
    for part, photo in PHOTOS:
        light = np.float32([1, 0.8][photo])
        pixels = np.asarray(smooth_picture(part, (64, 48)), np.float32) * light
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / photos(part)[photo])
    known = {(part, photo): f"known {part}" for part in range(3) for photo in range(2)}
    list_photos(tmp_path, {**known, (3, 0): "known 3 0", (3, 1): "known 3 1"})
    build(tmp_path)
    return tmp_path


def list_photos(line: Path, groups: Mapping[Photo, str], splits: Mapping[Photo, str] = MappingProxyType({})) -> None:
    """Write the manifest."""
    rows = ["path,label,group,split"]
    for part, photo in PHOTOS:
        label = "crack" if (part, photo) == (5, 0) else "good"
        rows.append(f"{photos(part)[photo]},{label},{groups.get((part, photo), '')},{splits.get((part, photo), '')}")
    (line / "photos.csv").write_text("\n".join(rows), "utf-8")


def build(line: Path) -> dict[str, Any]:
    manifest = ["--manifest", "photos.csv", "--teacher", "pixels", "--views", "0"]
    report: dict[str, Any] = json.loads(
        call("embedstore", "build", "s", "photos", *manifest, "--json", cwd=line).stdout
    )
    return report


def photos(part: int) -> list[str]:
    return [f"{HOSTILE} {part:02d} {photo}.png" for photo in range(2)]


def test_twins_are_shown_written_once_and_kept(line: Path) -> None:
    shown = " ".join(call("embedstore", "twins", "s", cwd=line).stdout.split())
    assert "20 sets of twins hold 40 of the 90 pictures." in shown
    assert (
        "Precision 0.750 (3 of 4 pairs found share a group) and recall 1.000 (3 of 3 pairs of a group were found)"
        in shown
    )
    assert "against the given groups, which may be incomplete and were not looked at." in shown
    assert "1 of 20 sets mix labels" in shown
    assert "such as 'known 3 0' and 'known 3 1'. United, 2 groups would be 1, the largest with 2 pictures of 2" in shown
    assert (
        "32 samples would get a group; nothing is written without --apply. Groups that are there already stay" in shown
    )
    assert "apart without --merge." in shown
    with embedstore.open(line / "s") as store:
        assert store.version == 1

    written = call("embedstore", "twins", "s", "--apply", cwd=line).stdout
    assert "32 samples got a group, written as version 2; 50 have none." in written
    with embedstore.open(line / "s") as store:
        groups = {sample.id: sample.group for sample in store.samples}
    for part in range(PARTS):
        names = [name for name in photos(part) if name in groups]
        expected = {f"known {part}"} if part < 3 else {f"known 3 {photo}" for photo in range(2)} if part == 3 else None
        found = {groups[name] for name in names}
        assert found == (expected or ({f"twins of {photos(part)[0]}"} if part < 20 else {None}))

    again = call("embedstore", "twins", "s", "--apply", cwd=line).stdout
    assert "No sample got a new group; the store stays at version 2." in again
    assert build(line)["version"] == 2
    with embedstore.open(line / "s") as store:
        assert {sample.id: sample.group for sample in store.samples} == groups


def lines_of(*arguments: object, cwd: Path) -> list[str]:
    return call("embedstore", *arguments, cwd=cwd).stdout.splitlines()


def told_of_sets(line: Path) -> str:
    """Return what must be told of the sets that the written split tears, counted by hand."""
    with embedstore.open(line / "s") as store:
        side = {sample.id: sample.split for sample in store.samples}
    of_part = [[side[name] for name in photos(part)] for part in range(TWICE)]
    torn = [sides for sides in of_part if sides[0] != sides[1]]
    leaks = {held: sum(held in sides and "train" in sides for sides in torn) for held in ("test", "val")}
    pictures = {held: list(side.values()).count(held) for held in leaks}
    assert min(leaks.values()) >= 1
    return (
        f"{len(torn)} sets have pictures on several sides of the written split: {leaks['test']} of {pictures['test']} test "
        f"and {leaks['val']} of {pictures['val']} val pictures have a twin in train, so figures look better than they are."
    )


def test_sets_and_groups_that_a_split_tears_are_told_until_they_are_dealt_again(line: Path) -> None:
    call("embedstore", "split", "s", cwd=line)
    *_, torn, mend = lines_of("twins", "s", cwd=line)
    assert torn == told_of_sets(line)
    with embedstore.open(line / "s") as store:
        conflict = len({store.sample(name).split for name in photos(3)}) > 1
    assert mend == f"To mend that: embedstore twins 's' {'--merge ' * conflict}--apply, then embedstore split 's'"

    written = json.loads(call("embedstore", "twins", "s", "--apply", "--json", cwd=line).stdout)
    assert (written["version"], written["written"]) == (3, 32)
    with embedstore.open(line / "s") as store:
        sides: dict[str, set[str | None]] = {}
        for sample in store.samples:
            sides.setdefault(sample.group or sample.id, set()).add(sample.split)
    groups = sorted(group for group, found in sides.items() if len(found) > 1)
    assert len(groups) >= 3
    assert written["leaks"]["torn_groups"] == groups
    *_, torn, again, mend = lines_of("twins", "s", cwd=line)
    assert torn == told_of_sets(line)
    assert again.startswith(f"{len(groups)} groups have pictures on several sides of the written split, such as")
    assert mend.startswith("To mend that: ")
    assert mend.endswith("embedstore split 's'")
    call("embedstore", "split", "s", cwd=line)
    leaks = json.loads(call("embedstore", "twins", "s", "--json", cwd=line).stdout)["leaks"]
    assert leaks["torn_groups"] == []
    assert len(leaks["torn_sets"]) <= 1  # the one whose two groups were not asked to be united


def test_incomplete_groups_are_united_only_when_asked_and_stay_so(line: Path) -> None:
    """The manifest takes each photo of the 20 parts for a part of its own."""
    incomplete = {(part, photo): f"{part} {photo}" for part, photo in PHOTOS if part < TWICE}
    list_photos(line, incomplete)
    build(line)
    call("embedstore", "split", "s", cwd=line)
    assert "No sample got a new group; the store stays" in call("embedstore", "twins", "s", "--apply", cwd=line).stdout
    *_, apart, torn, mend = lines_of("twins", "s", cwd=line)
    assert apart == "Groups that are there already stay apart without --merge."
    assert torn == told_of_sets(line)
    assert mend == "To mend that: embedstore twins 's' --merge --apply, then embedstore split 's'"
    *_, would, torn, mend = lines_of("twins", "s", "--similarity", "0.5", "--merge", cwd=line)
    assert would == "40 groups would become 20; nothing is written without --apply."
    assert mend == "To mend that: embedstore twins 's' --similarity 0.5 --merge --apply, then embedstore split 's'"
    with embedstore.open(line / "s") as store:
        assert store.version == 3  # built twice, split once

    *_, written, became, torn, groups, mend = lines_of("twins", "s", "--merge", "--apply", cwd=line)
    assert written == "20 samples got a group or another one, written as version 4; 50 have none."
    assert became == "40 groups became 20."
    assert torn == told_of_sets(line)
    assert groups.startswith(f"{torn.split()[0]} groups have pictures on several sides of the written split, such as")
    assert mend == "To mend that: embedstore split 's'"
    call("embedstore", "split", "s", cwd=line)
    again = lines_of("twins", "s", "--merge", "--apply", cwd=line)
    assert again[-1] == "No sample got a new group; the store stays at version 5."
    assert build(line)["version"] == 5
    with embedstore.open(line / "s") as store:
        assert [store.sample(name).group for part in range(TWICE) for name in photos(part)] == [
            f"{part} 0" for part in range(TWICE) for _ in range(2)
        ]


def test_what_the_manifests_own_split_tears_is_mended_there(line: Path) -> None:
    groups = {(part, photo): f"known {part}" for part, photo in PHOTOS if part < 3}
    splits = {
        (0, 0): "train",
        (0, 1): "test",
        (1, 0): "train",
        (1, 1): "val",
        (2, 0): "train",
        (4, 0): "val",
        (4, 1): "test",
    }
    list_photos(line, groups, splits)
    build(line)
    call("embedstore", "twins", "s", "--apply", cwd=line)
    call("embedstore", "split", "s", cwd=line)  # deals the others, and can't mend these
    *_, torn, told, own, then = lines_of("twins", "s", cwd=line)
    assert torn.startswith("3 sets have pictures on several sides of the written split: 1 of ")
    assert told == "3 groups have pictures on several sides of the written split, such as 'known 0'."
    assert own == (
        "The manifest's own split tears 3 of these sets and 3 of these groups, and embedstore split keeps what a manifest "
        "gives: put each on one side there, or empty its cells in the split column, and build again."
    )
    assert then == "After that: embedstore split 's'"
    list_photos(line, groups, {(0, 0): "train", (0, 1): "train", (2, 0): "train"})
    build(line)
    call("embedstore", "split", "s", cwd=line)
    leaks = json.loads(call("embedstore", "twins", "s", "--json", cwd=line).stdout)["leaks"]
    assert (leaks["torn_sets"], leaks["torn_groups"]) == ([], [])
    assert leaks["pictures"].keys() == {"val", "test"}


def test_json_says_what_the_library_says(line: Path) -> None:
    from embedstore.analysis.leaks import find_leaks
    from embedstore.analysis.twins import find_twins

    call("embedstore", "split", "s", cwd=line)
    told = json.loads(call("embedstore", "twins", "s", "--similarity", "0.8", "--json", cwd=line).stdout)
    with embedstore.open(line / "s") as store:
        found = find_twins(store, similarity=0.8)
        leaks = find_leaks(store, found.sets)
    assert found.agreement is not None
    assert told == {
        **found.__dict__,
        "agreement": {**found.agreement.__dict__, "precision": 0.75, "recall": 1.0},
        "written": 0,
        "leaks": leaks.__dict__,
    }
    assert leaks.torn_sets
    assert (told["similarity"], told["calibrated"], len(told["sets"])) == (0.8, False, 20)


def test_what_can_not_be_answered_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path / "s", unit_vectors(0, 3)).close()
    assert "The similarity is 1.5; expected" in refused("embedstore", "twins", "s", "--similarity", "1.5", cwd=tmp_path)
    assert "has 3 samples, too few" in refused("embedstore", "twins", "s", cwd=tmp_path)
    assert "0 sets of twins" in call("embedstore", "twins", "s", "--similarity", "0.9", cwd=tmp_path).stdout
