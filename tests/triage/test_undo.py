"""Undo: exactly what a version changed is set back, step by step to the beginning; refused where that would lose something."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import CountingTeacher, noise_picture, snapshot, write_picture, write_pictures
from toy_triage import IDS, make, rows

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import ConflictError, StoreError
from embedstore.store import embedding_store
from embedstore.triage import KINDS, Verdict, last_undoable, plan_undo, triage, undo

RARE, DIRT = Verdict("rare"), Verdict("dirt")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    with make(tmp_path / "s") as opened:
        yield opened


def relabelled(store: EmbeddingStore, texts: dict[str, str | None], field: str = "label") -> None:
    with store.write("relabel") as writing:
        writing.set(field, texts)


def random_verdict(random: np.random.Generator, sample_id: str) -> Verdict:
    kind = KINDS[random.integers(4)]
    if kind == "twin":
        return Verdict(kind, str(random.choice([one for one in IDS if one != sample_id])))
    return Verdict(kind, str(random.choice(["good", "crack", "pore"])) if kind == "wrong-label" else None)


# What is set back


@pytest.mark.parametrize("seed", range(6))
def test_undoing_in_reverse_order_leads_back_through_every_state_to_the_beginning(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    with make(tmp_path / "s") as store:
        states = {1: rows(store)}
        for _ in range(8):
            what = random.integers(10)
            if what == 0:
                store.split(seed=int(random.integers(9)))
            elif what == 1:
                relabelled(store, {str(random.choice(IDS)): None})
            elif what == 2:
                relabelled(store, {str(random.choice(IDS)): "3"}, "line")
            else:
                chosen = random.choice(IDS, random.integers(1, 5), replace=False).tolist()
                triage(store, {one: random_verdict(random, one) for one in chosen})
            states[store.version] = rows(store)
        newest = store.version
        for version in range(newest, 1, -1):
            assert last_undoable(store) == version
            planned = plan_undo(store, version)
            change = undo(store, version)
            assert rows(store) == states[version - 1]
            assert change.fields == planned.fields
            assert change.version == store.version == 2 * newest - version + 1
        assert last_undoable(store) is None
        for version in range(newest + 1, 2 * newest):  # and the undos can be undone, the last first
            undo(store, 3 * newest - version)
            assert rows(store) == states[version - newest + 1]


def test_only_what_the_version_changed_is_set_back(store: EmbeddingStore) -> None:
    before = rows(store)
    triage(store, {"a.png": DIRT, "b.png": Verdict("wrong-label", "pore"), "d.png": Verdict("twin", "c.png")})
    triage(store, {"e.png": RARE})
    relabelled(store, {"a.png": "x", "c.png": "y"})
    change = undo(store, 2)
    assert change.fields == {
        "label": {"b.png": ("pore", "crack")},
        "group": {"d.png": ("Q", None)},
        "verdict": dict.fromkeys(["a.png"], ("dirt", None)) | {"b.png": ("wrong-label", None), "d.png": ("twin", None)},
        "split": {"a.png": ("aside", "train")},
    }
    later: dict[str, dict[str, str]] = {"a.png": {"label": "x"}, "c.png": {"label": "y"}, "e.png": {"verdict": "rare"}}
    assert rows(store) == {one: row | later.get(one, {}) for one, row in before.items()}
    assert (change.samples, change.version) == (3, 5)
    assert (store.log()[-1].action, dict(store.log()[-1].details)) == ("undo", {"undone": 2, "updated": 3})


def test_a_version_may_be_a_number_of_numpy(store: EmbeddingStore) -> None:
    before = rows(store)
    triage(store, {"a.png": RARE})
    undo(store, np.int64(2))  # type: ignore[arg-type]  # as from a column of them
    assert rows(store) == before


def test_a_united_group_comes_apart_again(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("twin", "f.png")})
    assert store.field("group")[:2] == ["R", "R"]
    undo(store, 2)
    assert store.field("group") == ["P", "P", "Q", None, None, "R", "R", "R", None, "S"]


def test_a_split_and_groups_can_be_undone(store: EmbeddingStore) -> None:
    before = rows(store)
    store.split(seed=1)
    store.set_groups({"d.png": "P"}, merge={"P": "Q"})
    assert rows(store) != before
    undo(store, 3)
    undo(store, 2)
    assert rows(store) == before


def test_a_build_that_changed_labels_only_can_be_undone_and_a_later_one_leaves_it_so(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png", "b.png"])
    manifest = tmp_path / "m.csv"

    def build(label: str) -> None:
        manifest.write_text(f"path,label\na.png,{label}\nb.png,good\n", "utf-8")
        embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher=CountingTeacher(), views=0)

    build("good")
    build("crack")
    with embedstore.open(tmp_path / "s") as store:
        undo(store, 2)
        assert store.labels == ["good", "good"]
        build("crack")
        store.refresh()
        assert (store.version, store.labels) == (3, ["good", "good"])


def test_unions_that_rest_on_each_other_come_apart_from_the_last(store: EmbeddingStore) -> None:
    before = rows(store)
    united_again(store)
    with store.write("add") as writing:  # is of R whatever comes, for that is what was said of it
        writing.add(["new"], store.vectors(["a.png"]), groups=["R"])
    undo(store, 3)
    undo(store, 2)
    assert store.sample("new").group == "R"
    assert {one: row for one, row in rows(store).items() if one != "new"} == before


def test_what_was_undone_and_stands_again_can_be_undone_again(store: EmbeddingStore) -> None:
    before = rows(store)
    triage(store, {"a.png": Verdict("wrong-label", "pore"), "b.png": DIRT})
    with store.write("replace") as writing:
        writing.add(["b.png"], store.vectors(["c.png"]), replace=True)
    undo(store, 2)
    undo(store, 4)  # the undo, so that it stands again
    triage(store, {"a.png": RARE})
    undo(store, 6)
    undo(store, 2)
    assert rows(store) == before


def test_a_sample_with_another_picture_gets_its_fields_back(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("wrong-label", "pore")})
    with store.write("replace") as writing:
        writing.add(["a.png"], store.vectors(["b.png"]), replace=True)
    undo(store, 2)
    assert (store.sample("a.png").label, dict(store.sample("a.png").attributes)) == ("good", {})


def labelled_pictures(root: Path) -> Path:
    """Make a store in which version 3 says of good/4.png, and version 4 of good/6.png, that it is a defect; return its images."""
    images = root / "images"
    write_pictures(images, [f"good/{number}.png" for number in range(8)])
    embedstore.build(root / "s", images, teacher="pixels", views=0)
    with embedstore.open(root / "s") as store:
        relabelled(store, {name: f"part {name}" for name in store.ids}, "group")
        for name in ("good/4.png", "good/6.png"):
            relabelled(store, {name: "defect"})
    return images


def test_a_picture_that_was_taken_again_gets_its_label_back(tmp_path: Path) -> None:
    images = labelled_pictures(tmp_path)
    write_picture(images / "good/6.png", noise_picture(99))
    embedstore.build(tmp_path / "s", images)
    with embedstore.open(tmp_path / "s") as store:
        assert store.sample("good/6.png").label == "defect"
        assert undo(store, 4).samples == 1
        assert store.sample("good/6.png").label == "good"


# Which is the last


def test_who_undoes_again_and_again_goes_back_step_by_step(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE})
    triage(store, {"b.png": RARE})
    with store.write("add") as writing:
        writing.add(["new"], store.vectors(["a.png"]))
    assert last_undoable(store) == 3  # the version that added a sample is passed over
    undo(store, 3)
    assert last_undoable(store) == 2
    undo(store, 5)  # the undo: what it took back stands again
    assert last_undoable(store) == 3
    undo(store, 3)
    undo(store, 2)
    assert last_undoable(store) is None
    assert store.field("group").count(None) == 4


# What is refused


def removed(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE, "b.png": RARE})
    with store.write("delete") as writing:
        writing.delete(["b.png"])


def changed_again(store: EmbeddingStore) -> None:
    triage(store, {"a.png": DIRT, "b.png": RARE})
    relabelled(store, {"a.png": None}, "split")


def undone(store: EmbeddingStore) -> None:
    triage(store, {"b.png": RARE})
    undo(store, 2)


def said_again(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("wrong-label", "pore")})
    undo(store, 2)
    triage(store, {"a.png": Verdict("wrong-label", "pore")})


def relabelled_to_the_same(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("wrong-label", "pore")})
    relabelled(store, {"a.png": "good"})
    triage(store, {"a.png": Verdict("wrong-label", "pore")})
    triage(store, {"a.png": Verdict("wrong-label", "crack")})
    undo(store, 5)


def added_again(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE})
    vectors = store.vectors(["a.png"])
    with store.write("delete") as writing:
        writing.delete(["a.png"])
    with store.write("add") as writing:
        writing.add(["a.png"], vectors)


def united_again(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("twin", "f.png")})  # P goes into R
    triage(store, {"c.png": Verdict("twin", "a.png")})  # and so does Q


def left_by_hand(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("twin", "f.png")})
    relabelled(store, {"g.png": None}, "group")


def compacted(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE})
    store.compact()


def swapped(images: Path) -> None:
    for one, other in (("good/4.png", "spare"), ("good/6.png", "good/4.png"), ("spare", "good/6.png")):
        (images / one).rename(images / other)


def renamed_over(images: Path) -> None:
    (images / "good/4.png").rename(images / "good/6.png")


def copied_over(images: Path) -> None:
    (images / "good/6.png").write_bytes((images / "good/4.png").read_bytes())


def renamed_and_taken_anew(images: Path) -> None:
    (images / "good/6.png").rename(images / "good/spare.png")
    write_picture(images / "good/6.png", noise_picture(99))


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("act", [swapped, renamed_over, copied_over, renamed_and_taken_anew])
def test_what_was_said_of_a_picture_is_not_undone_for_another_that_has_its_name(
    act: Callable[[Path], None], later: bool, tmp_path: Path
) -> None:
    images = labelled_pictures(tmp_path)
    act(images)
    manifest = tmp_path / "m.csv"  # so that a picture without any of what was said is a defect as well
    named = [one.relative_to(images).as_posix() for one in images.rglob("*.png")]
    manifest.write_text("\n".join(["path,label", *(f"{name},defect" for name in named)]), "utf-8")
    embedstore.build(tmp_path / "s", images, manifest=manifest)
    with embedstore.open(tmp_path / "s") as store:
        if later:  # nothing of it can be seen any more in the newest version
            with store.write("delete") as writing:
                writing.delete([name for name in store.ids if name != "good/6.png"])
        before = snapshot(store)
        assert store.sample("good/6.png").label == "defect"
        with pytest.raises(
            ConflictError, match=r"^Version 4 can't be undone, for .*, by version 5 \(build\); put the samples"
        ):
            undo(store, 4)
        store.refresh()
        assert snapshot(store) == before
        if not later:
            with pytest.raises(
                ConflictError, match=r"for 'good/6\.png' has another picture since, by version 5 \(build\)"
            ):
                undo(store, 4)


@pytest.mark.parametrize(
    ("act", "version", "error", "sentence"),
    [
        (undone, 0, StoreError, r"has no version 0 to undo; it has 1 to 3\.$"),
        (undone, 4, StoreError, r"has no version 4 to undo; it has 1 to 3\.$"),
        (
            undone,
            1,
            StoreError,
            r"^Version 1 \(build\) added or removed samples, and only changes of labels, .* can be undone",
        ),
        (removed, 3, StoreError, r"^Version 3 \(delete\) added or removed samples"),
        (
            compacted,
            2,
            StoreError,
            r"^Version 2 can't be undone, for version 1, which tells what it changed, was removed by a",
        ),
        (
            removed,
            2,
            ConflictError,
            r"^Version 2 can't be undone, for the sample 'b\.png', which it changed, is no longer in",
        ),
        (
            changed_again,
            2,
            ConflictError,
            r"the split of 'a\.png' was changed again, to none, by version 3 \(relabel\); undo",
        ),
        (
            undone,
            2,
            ConflictError,
            r"^Version 2 was undone already, by version 3 \(undo\); to have it back, undo that one\.$",
        ),
        (
            said_again,
            2,
            ConflictError,
            r"the label of 'a\.png' was changed again, to 'pore', by version 4 \(triage\); undo that first\.$",
        ),
        (
            relabelled_to_the_same,
            2,
            ConflictError,
            r"the label of 'a\.png' was changed again, to 'pore', by version 4 \(triage\); undo that first\.$",
        ),
        (
            added_again,
            2,
            ConflictError,
            r"the verdict of 'a\.png' was changed again, to none, by version 4 \(add\); put the samples right with",
        ),
        (
            united_again,
            2,
            ConflictError,
            r"^Version 2 can't be undone, for the group of 'c\.png', which may be a twin of its samples, was changed "
            r"later, to 'R', by version 3 \(triage\); undo that first\.$",
        ),
        (
            left_by_hand,
            2,
            ConflictError,
            r"the group of 'g\.png', which may be .*, was changed later, to none, by version 3 \(relabel\); undo that",
        ),
    ],
)
def test_what_can_not_be_undone_leaves_the_store_as_it_was(
    store: EmbeddingStore,
    act: Callable[[EmbeddingStore], None],
    version: int,
    error: type[StoreError],
    sentence: str,
) -> None:
    act(store)
    before = snapshot(store)
    for attempt in (plan_undo, undo):
        with pytest.raises(StoreError, match=sentence) as caught:
            attempt(store, version)
        assert caught.type is error
        store.refresh()
        assert snapshot(store) == before


def test_versions_that_added_samples_are_passed_over_without_a_look(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history of builds would else be read through, all rows twice for each of them."""
    for number in range(3):
        with store.write("add") as writing:
            writing.add([f"new {number}"], store.vectors(["a.png"]))
    opened: list[int | str | None] = []
    look = embedding_store.open_store

    def counted(path: Path, version: int | str | None = None) -> EmbeddingStore:
        opened.append(version)
        return look(path, version)

    monkeypatch.setattr(embedding_store, "open_store", counted)
    assert last_undoable(store) is None
    assert opened == [0, 1]  # the log says nothing of the version that the toy store began with


def test_a_version_that_changed_no_field_has_nothing_to_undo(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png"])
    manifest = tmp_path / "m.csv"
    for label in ("good", "crack"):
        manifest.write_text(f"path,label\na.png,{label}\n", "utf-8")
        embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher=CountingTeacher(), views=0)
        with embedstore.open(tmp_path / "s") as store:
            relabelled(store, {"a.png": "crack"})  # the next build learns only that the manifest says so as well
    with embedstore.open(tmp_path / "s") as store:
        assert [entry.action for entry in store.log()] == ["create", "build", "relabel", "build"]
        with pytest.raises(
            StoreError, match=r"^Version 3 \(build\) changed no label, mode, .*, so there is nothing to undo"
        ):
            undo(store, 3)
        assert last_undoable(store) == 2


def test_a_tag_keeps_what_is_needed_to_undo(store: EmbeddingStore) -> None:
    before = rows(store)
    store.tag("before")
    triage(store, {"a.png": DIRT})
    store.compact()
    undo(store, 2)
    assert rows(store) == before
