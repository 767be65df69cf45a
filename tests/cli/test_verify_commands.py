"""embedstore verify and repair as people run them."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from toy_commands import call, refused

import embedstore
from embedstore.store.layout import read_current

HOSTILE = "bad \x1b[31m<b>部品</b> 00003"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 300 samples, of which a vector in the first block has a flipped bit."""
    place = tmp_path_factory.mktemp("damaged")
    ids = [HOSTILE if number == 3 else f"part {number:05d}" for number in range(300)]
    store_of(place / "line.store", unit_vectors(1, 300), ids=ids, labels=["good"] * 300).close()
    file = read_current(place / "line.store") / "data.mdb"
    data = file.read_bytes()
    vector = unit_vectors(1, 300)[7].tobytes()
    assert data.count(vector) == 1
    at = data.index(vector)
    file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    return place


def test_what_a_repair_left_is_said_first(tmp_path: Path) -> None:
    vectors = np.stack([unit_vectors(seed, 3) for seed in (1, 2, 3)])
    for name, view in (("view.store", 2), ("plain.store", 0)):
        store_of(tmp_path / name, vectors, labels=["good"] * 3).close()
        file = read_current(tmp_path / name) / "data.mdb"
        data, vector = file.read_bytes(), vectors[view, 1].tobytes()
        assert data.count(vector) == 1
        file.write_bytes(data.replace(vector, bytes([vector[0] ^ 4]) + vector[1:]))
    said = call("embedstore", "repair", "view.store", cwd=tmp_path).stdout
    assert said.startswith("view.store: repaired. It has 3 samples at version 2.\n")
    assert "no sample left for that, and of 2 views 1 can be used now." in said
    assert "  embedstore build 'view.store' IMAGES --views 2\n" in said
    said = call("embedstore", "repair", "plain.store", cwd=tmp_path).stdout
    assert said.startswith("plain.store: repaired, but none of its samples is left; it is empty at version 2.\n")
    assert "3 samples lost their vectors." in said


def test_verify_repair_verify(damaged: Path) -> None:
    found = call("embedstore", "verify", "line.store", cwd=damaged, code=1)
    assert "line.store: 1 thing is wrong (300 samples at version 1;" in found.stdout
    assert "or somebody changed them.\n    where   view 0 of 'embedding' (teacher" in found.stdout
    assert (
        "block 0 fails its checksum\n    number  1\n    mend    Run: embedstore repair 'line.store'\n" in found.stdout
    )
    as_json = json.loads(call("embedstore", "verify", "line.store", "--json", cwd=damaged, code=1).stdout)
    assert [(finding["kind"], finding["count"]) for finding in as_json["findings"]] == [("entry", 1)]
    assert as_json["notes"] == []

    repaired = call("embedstore", "repair", "line.store", cwd=damaged).stdout
    assert repaired.startswith("line.store: repaired. It has 44 samples at version 2.\n")
    assert "256 samples lost their vectors. What else is known of them is kept." in repaired
    assert "They come back by:\n  embedstore build 'line.store' IMAGES (or" in repaired
    assert r"part 00002, bad \x1b[31m<b>部品</b> 00003, part 00004" in repaired
    assert "and 246 more (all with --json)" in repaired
    assert "These versions lost something and can't be opened any more: 1." in repaired
    assert "kept in 'line.store/generations/0001.damaged'; delete that folder once" in repaired

    again = call("embedstore", "verify", "line.store", cwd=damaged).stdout
    assert "line.store: nothing is wrong (44 samples at version 2;" in again
    assert "Worth knowing, and no error:" in again
    assert "where   'generations/0001.damaged'" in again
    with embedstore.open(damaged / "line.store") as store:
        assert len(store.vectors()) == 44


def test_repair_of_a_sound_store_says_so(tmp_path: Path) -> None:
    store_of(tmp_path / "sound", unit_vectors(1, 3)).close()
    assert (
        call("embedstore", "repair", "sound", cwd=tmp_path).stdout == "sound: nothing is wrong, so nothing was done.\n"
    )
    assert json.loads(call("embedstore", "repair", "sound", "--json", cwd=tmp_path).stdout)["changed"] is False


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    for verb in ("verify", "repair"):
        assert "'nothing' does not exist; make one with" in refused("embedstore", verb, "nothing", cwd=tmp_path)
