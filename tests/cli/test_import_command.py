"""`embedstore import` and `embedstore export` as installed: what they print, what they leave, what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import write_pictures
from toy_commands import call

import embedstore

TEACHER = "open_clip:ViT-B-32/openai"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vectors, their fields, and the store `s` into which they were imported."""
    place = tmp_path_factory.mktemp("import")
    np.save(place / "時計.npy", np.arange(1, 13, dtype=np.float32).reshape(6, 2))
    rows = ['"a,1",good,<b>', "b,good,\x1b[31m", "c,,", "d,傷,", "e,傷,", "f,good,"]
    (place / "時計.csv").write_text("\n".join(["id,label,note", *rows]), "utf-8")
    out = call("embedstore", "import", "s", "時計.npy", "--teacher", TEACHER, cwd=place)
    assert f"Imported 6 vectors of 2 numbers, declared to be of '{TEACHER}', in " in out.stdout
    assert "'s' holds 6 samples at version 1." in out.stdout
    assert "Importing" in out.stderr
    return place


def test_what_leaves_comes_back(place: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    out = call("embedstore", "export", "s", "all.parquet", cwd=place).stdout
    assert out.startswith(f"Wrote 'all.parquet' ({(place / 'all.parquet').stat().st_size / 1e3:.1f} kB).")
    arguments = ("embedstore", "import", "again", "all.parquet", "--json")
    facts = json.loads(call(*arguments, cwd=place).stdout)
    assert facts.pop("seconds") >= 0
    assert facts == {
        "count": 6,
        "replaced": 0,
        "unknown_pictures": 0,
        "dim": 2,
        "teacher": TEACHER,
        "samples": 6,
        "version": 1,
        "attributes": ["note"],
        "left_out": [],
    }
    with embedstore.open(place / "s") as one, embedstore.open(place / "again") as other:
        assert other.samples == one.samples


def test_samples_whose_picture_is_unknown_now_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", ["good/1.png", "good/2.png"])
    call("embedstore", "build", "s", "photos", "--teacher", "pixels", "--views", "0", cwd=tmp_path)
    call("embedstore", "export", "s", "v.safetensors", cwd=tmp_path)
    replaced = ("embedstore", "import", "s", "v.safetensors", "--replace")
    assert "picture" not in call(*replaced, cwd=tmp_path).stdout
    write_pictures(tmp_path / "photos", ["good/1.png"], seed=1)
    embedstore.build(tmp_path / "s", tmp_path / "photos")  # the export has another vector by now
    assert (
        "1 sample got another vector than that of the picture, so nothing says any more which picture it is of; embedstore "
        "refresh embeds the pictures of such samples anew."
    ) in call(*replaced, cwd=tmp_path).stdout


def test_a_part_leaves(place: Path) -> None:
    call("embedstore", "export", "s", "part.npy", "--where", "label=good", "--where", "note=", cwd=place)
    assert np.load(place / "part.npy").tolist() == [[11, 12]]
    assert (place / "part.csv").read_text("utf-8").splitlines() == [
        "id,path,label,mode,group,split,note",
        "f,f,good,,,,",
    ]


def test_columns_that_are_left_out_are_told(place: Path) -> None:
    (place / "index.csv").write_text(",id\n" + "\n".join(f"{at},{at}" for at in range(6)), "utf-8")
    arguments = ("embedstore", "import", "indexed", "時計.npy", "--fields", "index.csv", "--teacher", TEACHER)
    assert "neither texts nor numbers nor dates: the columns '(no name)'." in call(*arguments, cwd=place).stdout


def test_mistakes_are_one_sentence_and_leave_nothing(place: Path) -> None:
    np.save(place / "bad.npy", np.array([[1.0, np.nan]]))
    before = sorted(one.name for one in place.iterdir())
    for arguments, sentence in (
        ("import new bad.npy --teacher x", "Vector 0 of 'bad.npy' (counted from 0) holds values that are not finite"),
        ("import s 時計.npy --teacher dino", f"the teacher '{TEACHER}' (2 numbers a vector), but the vectors of"),
        ("export s 時計.npy", "'時計.csv' exists; choose another name, or replace it with --overwrite."),
    ):
        result = call("embedstore", *arguments.split(), cwd=place, code=2)
        assert result.stdout == ""
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert sentence in result.stderr.splitlines()[-1]
    assert sorted(one.name for one in place.iterdir()) == before
