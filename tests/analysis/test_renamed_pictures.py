"""A saved summary whose pictures were renamed since: what it says of a picture goes along, and no other one has any of it."""

from pathlib import Path

import pytest
from helpers import write_pictures

import embedstore
from embedstore.analysis.odd_samples import Comparison, find_odd
from embedstore.analysis.suggestions import suggest

NAMES = [f"good/{number}.png" for number in range(6)] + [f"defect/{number}.png" for number in range(4)]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures and a store; summaries of all: `rare` keeps pictures, `means` does not."""
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build(tmp_path / "store", tmp_path / "images", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "store") as store:
        store.summarize("rare-samples", name="rare", k=1, share=0.5)
        store.summarize("sub-prototypes", name="means", k=2)
    return tmp_path


def rename(here: Path, names: dict[str, str], *new: str) -> None:
    """Rename files, also in a round, add some new ones, and bring the store to that; labels are the folders' names."""
    images = here / "images"
    for old in names:
        (images / old).rename(images / f"{old}.between")
    for old, name in names.items():
        (images / f"{old}.between").rename(images / name)
    write_pictures(images, new, seed=9)
    embedstore.build(here / "store", images, prune=True)


def compared(here: Path, name: str, names: dict[str, str] | None = None) -> dict[str, tuple[float | int | bool, ...]]:
    """Return what a comparison finds of each sample, by its name before; `names` says what was renamed since."""
    before = {new: old for old, new in (names or {}).items()}
    with embedstore.open(here / "store") as store:
        comparison = Comparison(store, name)
        described = comparison.describe([(row, 0) for row in range(len(comparison.samples))])
    found, neighbours = comparison.distances, {}
    for odd in described:
        neighbours[odd.id] = sorted((before.get(near.id, near.id), near.seen) for near in odd.nearest)
    rows = zip(comparison.samples.ids, found.nearest, found.distance, found.other, found.member_of, strict=True)
    return {before.get(one, one): (*map(float, numbers), *neighbours[one]) for one, *numbers in rows}


@pytest.mark.parametrize("name", ["rare", "means"])
@pytest.mark.parametrize(
    "names",
    [
        {"good/1.png": "good/renamed.png", "defect/3.png": "defect/9.png"},
        {"good/1.png": "good/0.png", "good/0.png": "good/5.png", "good/5.png": "good/1.png"},
    ],
    ids=["new names", "round"],
)
def test_all_is_found_as_before(here: Path, name: str, names: dict[str, str]) -> None:
    before = compared(here, name)
    rename(here, names)
    assert compared(here, name, names) == before


def test_a_picture_that_is_a_prototype_is_not_compared_with_itself_under_another_name(here: Path) -> None:
    with embedstore.open(here / "store") as store:
        summary = store.summary("rare")
    own = next(summary.seen[at] for at in summary.source if at >= 0 and summary.seen[at].startswith("good"))
    rename(here, {own: "good/renamed.png"})
    with embedstore.open(here / "store") as store:
        found = find_odd(store, "rare").by_label["good"]
    (distance,) = [odd.distance for odd in found if odd.id == "good/renamed.png"]
    assert distance is not None
    assert distance > 0.1


def test_a_new_picture_under_the_name_of_one_that_was_renamed_was_not_seen(here: Path) -> None:
    rename(here, {"good/1.png": "good/renamed.png"}, "good/1.png")
    with embedstore.open(here / "store") as store:
        comparison = Comparison(store, "means")
    seen = dict(zip(comparison.samples.ids, comparison.distances.member_of >= 0, strict=True))
    assert [one for one, known in seen.items() if not known] == ["good/1.png"]


@pytest.mark.parametrize(("gone", "stays"), [("good/0.png", "defect/copy.png"), ("defect/copy.png", "good/0.png")])
def test_copies_are_seen_and_a_name_that_stayed_has_its_own_prototype(here: Path, gone: str, stays: str) -> None:
    """Of one picture under two labels, of which one name is gone, and of one that has two new names."""
    images = here / "images"
    (images / "defect" / "copy.png").write_bytes((images / "good" / "0.png").read_bytes())
    embedstore.build(here / "store", images)
    with embedstore.open(here / "store") as store:
        summary = store.summarize("class-mean", name="copies")
    (images / "good" / "a.png").write_bytes((images / "good" / "1.png").read_bytes())
    rename(here, {"good/1.png": "good/b.png", gone: "good/z.png"})
    with embedstore.open(here / "store") as store:
        comparison = Comparison(store, "copies")
    found = dict(zip(comparison.samples.ids, comparison.distances.member_of.tolist(), strict=True))
    good, defect = (summary.labels.index(label) for label in ("good", "defect"))
    assert [found[one] for one in ("good/a.png", "good/b.png")] == [good, good]
    assert found[stays] == (good if stays.startswith("good") else defect)
    assert found["good/z.png"] >= 0


def test_a_mode_is_told_by_its_pictures_and_not_by_their_names(here: Path) -> None:
    """The picture that one prototype speaks for alone, and one of three that another speaks for, swap names."""
    with embedstore.open(here / "store") as store:
        alone, others = sorted(map(store.summary("means").members, range(2)), key=len)
        assert (len(alone), len(others)) == (1, 3)
        with store.write() as changes:
            changes.set("mode", {alone[0]: "deep"} | dict.fromkeys(others, "flat"))
    rename(here, {alone[0]: others[0], others[0]: alone[0]})
    with embedstore.open(here / "store") as store:
        assert store.sample(others[0]).mode == "deep"
        assert suggest(store, against="means", kinds=["hidden-modes"]).by_kind["hidden-modes"] == []


def test_without_the_version_of_the_summary_it_is_told_that_names_alone_tell(here: Path) -> None:
    rename(here, {"good/1.png": "good/renamed.png"})
    with embedstore.open(here / "store") as store:
        means = store.summary("means")
        with store.write() as changes:
            changes.set("mode", dict.fromkeys(store.ids, "plain"))
        (kept, *_) = find_odd(store, means).remarks
        assert kept.en.endswith("now; what changed since then is not in it.")
        for name in store.summary_names:  # for each of which a compaction keeps its version
            store.delete_summary(name)
        store.compact()
        (gone, *_) = find_odd(store, means).remarks
        (listed,) = suggest(store, against=means, kinds=["hidden-modes"]).remarks.values()
    assert gone.en == (
        f"{kept.en} That version is no longer kept, so pictures are told by their names, and one that was renamed since is taken "
        "for another."
    )
    assert gone.ja.startswith(kept.ja)
    assert gone.ja.endswith("画像は名前で照合しています。その後に名前が変わった画像は、別の画像と取り違えられます。")
    assert gone.en in [one.en for one in listed]
