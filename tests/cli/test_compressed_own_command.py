"""Own embeddings in a few bytes by the real commands: made, sized, exported, and learned from without the store."""

import json
import shutil
from pathlib import Path

import pytest
from toy_commands import call, refused, save

import embedstore


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("few bytes")
    for number in range(48):
        save(place / "photos" / ("good" if number % 3 else "defect") / f"{number}.png", number, bright=number % 3 == 0)
    call("embedstore", "build", "s", "photos", "--teacher", "pixels", "--views", "2", cwd=place)
    call("embedstore", "split", "s", cwd=place)
    options = ("--bytes", "4", "--rare-bytes", "8", "--share", "0.2", "--kept-views", "1")
    shown = call("embedstore", "summarize", "s", "compressed-own", "--name", "few", *options, cwd=place).stdout
    assert "are kept in 4 bytes each" in shown
    return place


def test_sizes_are_told_as_training_needs_them(place: Path) -> None:
    facts = json.loads(call("embedstore", "summaries", "s", "--json", cwd=place).stdout)["summaries"][0]
    with embedstore.open(place / "s") as store:
        few = store.summary("few")
        vectors = 2 * store.dim * (store.views + 1) * len(few.seen)
    assert facts["parameters"] == {"bytes": 4, "rare_bytes": 8, "share": 0.2, "kept_views": 1}
    assert (facts["training_bytes"], facts["own_bytes"]) == (few.training_bytes(), vectors)
    shown = call("embedstore", "summaries", "s", cwd=place).stdout
    assert f"{few.training_bytes() / 1e3:.0f} kB" in shown
    assert f"a store keeps {vectors / 1e3:.0f} kB of vectors of the same pictures." in " ".join(shown.split())


def test_what_a_store_keeps_is_told_only_where_all_saw_the_same_pictures(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "s", tmp_path / "s")
    call("embedstore", "summarize", "s", "class-mean", "--name", "train", cwd=tmp_path)
    assert "a store keeps" in " ".join(call("embedstore", "summaries", "s", cwd=tmp_path).stdout.split())
    call("embedstore", "summarize", "s", "class-mean", "--name", "whole", "--split", "all", cwd=tmp_path)
    shown = " ".join(call("embedstore", "summaries", "s", cwd=tmp_path).stdout.split())
    assert "own vectors in all views included where pictures are kept. far: pictures" in shown
    assert "a store keeps" not in shown
    facts = json.loads(call("embedstore", "summaries", "s", "--json", cwd=tmp_path).stdout)["summaries"]
    own = {one["name"]: one["own_bytes"] / one["seen"] for one in facts}
    assert len(set(own.values())) == 1
    assert len({one["seen"] for one in facts}) == 2


def test_an_exported_one_is_learned_from_without_the_store(place: Path) -> None:
    call("embedstore", "export", "s", "few.safetensors", "--summary", "few", cwd=place)
    train = ("distill", "train", "--summary", "few.safetensors", "--images", "photos", "--good", "good")
    quick = ("--size", "32", "--epochs", "1", "--out", "run")
    assert "asks for 2; ask for --views 1 or fewer" in refused(*train, *quick, cwd=place)
    call(*train, *quick, "--views", "1", cwd=place)
    assert json.loads((place / "run" / "run.json").read_text("utf-8"))["settings"]["policy"] == "compressed-own"
