"""embedstore twins, as installed, on real files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import smooth_picture, store_of, unit_vectors
from PIL import Image
from test_commands import call, refused

import embedstore

PARTS = 70
HOSTILE = "[bold]部品[red] <b>\x1b[31m"


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """70 parts, of which the first 20 were photographed twice, the second time darker; the manifest knows 4 of them."""
    rows = ["path,label,group"]
    for part in range(PARTS):
        for photo in range(1 + (part < 20)):
            light = np.float32([1, 0.8][photo])
            pixels = np.asarray(smooth_picture(part, (64, 48)), np.float32) * light
            name = f"{HOSTILE} {part:02d} {photo}.png"
            (tmp_path / "photos").mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name)
            group = f"known {part}" if part < 3 else f"known {part} {photo}" if part == 3 else ""
            rows.append(f"{name},{'good' if part != 5 or photo else 'crack'},{group}")
    (tmp_path / "photos.csv").write_text("\n".join(rows), "utf-8")
    build(tmp_path)
    return tmp_path


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
    assert "precision 0.750 (3 of 4 pairs found share a group), recall 1.000 (3 of 3 pairs" in shown
    assert "1 of 20 sets mix labels" in shown
    assert "1 sets hold pictures of several groups" in shown
    assert "32 samples would get a group; nothing is written without --apply." in shown
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


def test_a_split_that_tears_the_new_groups_is_told_until_it_is_dealt_again(line: Path) -> None:
    call("embedstore", "split", "s", cwd=line)
    before = call("embedstore", "twins", "s", cwd=line).stdout
    assert "several sides" not in before
    written = json.loads(call("embedstore", "twins", "s", "--apply", "--json", cwd=line).stdout)
    assert written["version"] == 3
    with embedstore.open(line / "s") as store:
        sides: dict[str, set[str | None]] = {}
        for sample in store.samples:
            sides.setdefault(sample.group or sample.id, set()).add(sample.split)
    torn = sorted(group for group, found in sides.items() if len(found) > 1)
    assert len(torn) >= 3
    assert written["torn_groups"] == torn
    told = " ".join(call("embedstore", "twins", "s", cwd=line).stdout.split())
    assert f"{len(torn)} groups have pictures on several sides" in told
    assert "deal them again: embedstore split 's'" in told
    call("embedstore", "split", "s", cwd=line)
    assert json.loads(call("embedstore", "twins", "s", "--json", cwd=line).stdout)["torn_groups"] == []


def test_json_says_what_the_library_says(line: Path) -> None:
    from embedstore.analysis.twins import find_twins

    told = json.loads(call("embedstore", "twins", "s", "--similarity", "0.8", "--json", cwd=line).stdout)
    with embedstore.open(line / "s") as store:
        found = find_twins(store, similarity=0.8)
    assert found.agreement is not None
    assert told == {
        **found.__dict__,
        "agreement": {**found.agreement.__dict__, "precision": 0.75, "recall": 1.0},
        "written": 0,
        "torn_groups": [],
    }
    assert (told["similarity"], told["calibrated"], len(told["sets"])) == (0.8, False, 20)


def test_what_can_not_be_answered_is_refused(tmp_path: Path) -> None:
    store_of(tmp_path / "s", unit_vectors(0, 3)).close()
    assert "The similarity is 1.5; expected" in refused("embedstore", "twins", "s", "--similarity", "1.5", cwd=tmp_path)
    assert "has 3 samples, too few" in refused("embedstore", "twins", "s", cwd=tmp_path)
    assert "0 sets of twins" in call("embedstore", "twins", "s", "--similarity", "0.9", cwd=tmp_path).stdout
