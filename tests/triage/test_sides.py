"""Sides: where samples go that are no dirt after all, so that no group is torn and none is lost; what a build leaves aside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import CountingTeacher, store_of, unit_vectors, write_pictures
from toy_triage import make, rows

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis.leaks import find_leaks
from embedstore.triage import Verdict, triage

RARE, DIRT = Verdict("rare"), Verdict("dirt")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    with make(tmp_path / "s") as opened:
        yield opened


def put(store: EmbeddingStore, sample_id: str, side: str | None) -> None:
    with store.write("relabel") as writing:
        writing.set("split", {sample_id: side})


# Without others of the group


def test_who_was_dirt_twice_goes_back_to_where_it_was_the_second_time(store: EmbeddingStore) -> None:
    triage(store, {"c.png": DIRT})
    put(store, "c.png", "test")
    triage(store, {"c.png": DIRT})
    triage(store, {"c.png": RARE})
    assert store.sample("c.png").split == "test"


def test_who_was_aside_already_stays_so(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE})  # the verdict is older than the side, and then younger
    put(store, "a.png", "aside")
    triage(store, {"a.png": DIRT})
    with store.write("replace") as writing:
        writing.add(["a.png"], store.vectors(["b.png"]), replace=True)
    triage(store, {"a.png": RARE})
    assert store.sample("a.png").split == "aside"  # though its group is in train


def test_many_that_were_set_aside_at_several_times_go_back_each_to_its_own(store: EmbeddingStore) -> None:
    before = rows(store)
    triage(store, {"a.png": DIRT, "c.png": DIRT})
    triage(store, {"d.png": DIRT})
    with store.write("replace") as writing:
        writing.add(["c.png"], store.vectors(["b.png"]), replace=True)
    triage(store, dict.fromkeys(["e.png", "j.png"], DIRT))
    triage(store, dict.fromkeys(["a.png", "c.png", "d.png", "e.png", "j.png"], RARE))
    assert {one: row["split"] for one, row in rows(store).items()} == {one: row["split"] for one, row in before.items()}


# Where the others of the group are


def test_no_group_is_torn_by_dirt_that_comes_back_after_another_deal(tmp_path: Path) -> None:
    ids = [f"{number:02}" for number in range(20)]
    groups = [f"part {number // 2}" for number in range(20)]
    with store_of(tmp_path / "s", unit_vectors(0, 20), ids=ids, groups=groups) as store:
        store.split(seed=0)
        first = store.field("split")
        triage(store, dict.fromkeys(ids[::2], DIRT))
        store.split(seed=5)
        others = store.field("split")[1::2]
        assert sum(one != other for one, other in zip(first[1::2], others, strict=True)) >= 4  # else it shows nothing
        triage(store, dict.fromkeys(ids[::2], RARE))
        assert store.field("split")[::2] == store.field("split")[1::2] == others
        assert find_leaks(store, []).torn_groups == []


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_whole_group_that_comes_back_is_on_one_side(store: EmbeddingStore, order: str) -> None:
    first, second = (f"{name}.png" for name in order)
    triage(store, {first: DIRT})
    put(store, second, "val")
    triage(store, {second: DIRT})
    triage(store, {"a.png": RARE, "b.png": RARE})
    assert len(set(store.field("split")[:2])) == 1
    assert store.field("split")[0] in ("train", "val")


def test_who_is_called_a_twin_instead_goes_to_the_others_side(store: EmbeddingStore) -> None:
    triage(store, {"c.png": DIRT, "d.png": DIRT})
    triage(store, {"c.png": Verdict("twin", "a.png"), "d.png": Verdict("twin", "e.png")})
    assert [store.sample(one).split for one in ("c.png", "d.png")] == ["train", "test"]  # of e, no side is known


# Builds


@pytest.fixture
def built(tmp_path: Path) -> Iterator[tuple[EmbeddingStore, Path]]:
    """Return a store of three pictures without a split, of which the first is dirt, and its manifest."""
    write_pictures(tmp_path / "images", ["a.png", "b.png", "c.png"])
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\na.png,good\nb.png,good\nc.png,good\n", "utf-8")
    build(tmp_path)
    with embedstore.open(tmp_path / "s") as store:
        triage(store, {"a.png": DIRT})
        manifest.write_text("path,label,split\na.png,good,train\nb.png,good,train\nc.png,good,test\n", "utf-8")
        build(tmp_path)
        store.refresh()
        yield store, manifest


def build(place: Path) -> None:
    embedstore.build(place / "s", place / "images", manifest=place / "m.csv", teacher=CountingTeacher(), views=0)


def test_dirt_stays_aside_where_the_manifest_names_sides_for_the_first_time(
    built: tuple[EmbeddingStore, Path],
) -> None:
    store, _ = built
    assert store.field("split") == ["aside", "train", "test"]
    assert store.given("split") == ["train", "train", "test"]
    assert store.summarize("class-mean", split="train").seen == ["b.png"]


def test_what_the_manifest_has_said_since_is_where_it_goes_back_to(built: tuple[EmbeddingStore, Path]) -> None:
    store, manifest = built
    triage(store, {"a.png": DIRT})
    triage(store, {"a.png": RARE})
    assert store.field("split") == ["train", "train", "test"]
    put(store, "a.png", "val")  # what it said before that is older
    triage(store, {"a.png": DIRT})
    triage(store, {"a.png": RARE})
    assert store.sample("a.png").split == "val"
    manifest.write_text(manifest.read_text("utf-8").replace("a.png,good,train", "a.png,good,test"), "utf-8")
    build(manifest.parent)
    store.refresh()
    assert store.sample("a.png").split == "test"  # for it is no dirt any more
