"""Odd samples: distances, neighbours and percentiles as plain loops find them; planted oddness; the sentences."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore, Summary
from embedstore.analysis import odd_distances
from embedstore.analysis.odd_reasons import NEIGHBOURS, REACH, NearestPrototype, Neighbour, OddSample
from embedstore.analysis.odd_samples import OddSamples, find_odd, why
from embedstore.errors import SettingsError, SummaryError
from embedstore.vectors import unit_length

COUNT, DIM = 240, 8
RNG = np.random.default_rng(4)
PARTS = RNG.integers(0, 70, COUNT)
LABELS = [("good", "good", "crack", "dent", None)[part % 5] if RNG.random() > 0.05 else "good" for part in PARTS]
GROUPS = [f"part {part}" if part % 7 else None for part in PARTS]
SPLITS = ["train" if part % 3 else "test" for part in PARTS]
IDS = [f"{name:03d}.png" for name in RNG.permutation(COUNT)]
# Pictures of one part look alike, some are equal; a few parts stand far off.
VECTORS = unit_length(
    RNG.normal(size=(70, DIM))[PARTS] + 0.3 * RNG.normal(size=(COUNT, DIM)) + 2 * (PARTS % 23 == 0)[:, None]
).astype(np.float16)
VECTORS[10:14] = VECTORS[9]

SUMMARIES: list[tuple[str, dict[str, Any]]] = [
    ("class-mean", {}),
    ("class-mean", {"per_class": 1}),
    ("sub-prototypes", {}),
    ("sub-prototypes", {"k": 9}),
    ("rare-samples", {"share": 0.3, "k": 3}),
    ("herding", {"k": 12}),
]


def make(path: Path, order: Sequence[int] | None = None, **changed: Sequence[Any]) -> EmbeddingStore:
    """Return the store above, its rows in an order of choice."""
    at = np.arange(COUNT) if order is None else np.asarray(order)
    fields = {"ids": IDS, "labels": LABELS, "groups": GROUPS, "splits": SPLITS, **changed}
    return store_of(path, VECTORS[at], **{name: [values[i] for i in at] for name, values in fields.items()})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with make(tmp_path_factory.mktemp("odd") / "store") as opened:
        yield opened


def by_loops(store: EmbeddingStore, summary: Summary, label: str | None) -> list[dict[str, Any]]:
    """Say of every sample of a label what the definitions say, the oddest first, as plainly as possible."""
    directions = {
        one: unit_length(vector).astype(float) for one, vector in zip(store.ids, store.vectors(), strict=True)
    }
    prototypes = unit_length(summary.vectors).astype(float)
    part = {sample.id: sample.part for sample in store.samples}
    members: dict[int, list[str]] = {at: summary.members(at) for at in range(len(summary.labels))}
    fitted = {one for one, used in zip(summary.seen, summary.fitted, strict=True) if used}
    makers = [
        {part[summary.seen[summary.source[at]]]}
        if summary.source[at] >= 0
        else {part[one] for one in members[at] if one in fitted}
        for at in range(len(summary.labels))
    ]
    found = []
    for name in sorted(one.id for one in store.samples if one.label == label):
        away = [float(np.linalg.norm(directions[name] - prototype)) for prototype in prototypes]
        usable = [at for at in range(len(away)) if makers[at] != {part[name]}]
        known = label in summary.labels
        own = [at for at in usable if not known or summary.labels[at] == label]
        others = [away[at] for at in usable if known and summary.labels[at] != label]
        nearest: dict[str, tuple[float, str]] = {}
        for other in sorted(directions):
            if part[other] != part[name]:
                distance = float(np.linalg.norm(directions[name] - directions[other]))
                if part[other] not in nearest or distance < nearest[part[other]][0] - 1e-9:
                    nearest[part[other]] = (distance, other)
        entry: dict[str, Any] = {
            "id": name,
            "distance": None,
            "percentile": None,
            "other": min(others, default=None),
            "nearest": sorted(nearest.values())[:NEIGHBOURS],
        }
        if own:
            best = min(own, key=lambda at: (round(away[at], 9), at))
            lengths = [
                np.linalg.norm(directions[one] - prototypes[best]) for one in members[best] if part[one] != part[name]
            ]
            closer = sum(length < away[best] - 1e-9 for length in lengths)
            entry |= {"distance": away[best], "prototype": best, "members": len(lengths)}
            entry["percentile"] = 100 * closer / len(lengths) if lengths else None
        found.append(entry)
    return sorted(found, key=lambda one: (-9 if one["distance"] is None else -one["distance"], one["id"]))


@pytest.mark.parametrize(("strategy", "parameters"), SUMMARIES)
def test_everything_is_as_plain_loops_find_it(store: EmbeddingStore, strategy: str, parameters: dict[str, Any]) -> None:
    summary = store.summarize(strategy, split="train", **parameters)
    found = find_odd(store, summary, top=COUNT)
    assert list(found.by_label) == ["crack", "dent", "good", None]
    for label, listed in found.by_label.items():
        expected = {one["id"]: one for one in by_loops(store, summary, label)}
        assert [odd.id for odd in listed] == [one for one in expected if one in {odd.id for odd in listed}]
        assert len(listed) + sum(odd.alike for odd in listed) == len(expected) == found.counts[label]
        for odd in listed:
            plain = expected[odd.id]
            assert odd.distance == (None if plain["distance"] is None else pytest.approx(plain["distance"], abs=1e-6))
            assert odd.other_distance == (None if plain["other"] is None else pytest.approx(plain["other"], abs=1e-6))
            assert odd.percentile == (None if plain["percentile"] is None else pytest.approx(plain["percentile"]))
            assert [near.id for near in odd.nearest] == [name for _, name in plain["nearest"]]
            assert [near.distance for near in odd.nearest] == pytest.approx([d for d, _ in plain["nearest"]], abs=1e-6)
            for near in odd.nearest:
                assert near.similarity == pytest.approx(1 - near.distance**2 / 2, abs=1e-6)
                assert near.seen == (near.id in summary.seen)
            if odd.prototype is None:
                assert plain["distance"] is None
            else:
                assert (odd.prototype.index, odd.prototype.members) == (plain["prototype"], plain["members"])
                assert odd.prototype.label == summary.labels[odd.prototype.index]


def test_typical_members_are_the_nearest_to_the_prototype_one_of_each_other_part(store: EmbeddingStore) -> None:
    summary = store.summarize("class-mean", split="train")
    (odd,) = find_odd(store, summary, top=1, labels=["good"]).by_label["good"]
    mean = unit_length(summary.vectors[summary.labels.index("good")])
    expected: list[str] = []
    parts = {store.sample(odd.id).part}
    for name in sorted(
        summary.members(summary.labels.index("good")),
        key=lambda one: (float(np.linalg.norm(unit_length(store.vectors([one])[0]) - mean)), one),
    ):
        if store.sample(name).part not in parts:
            parts.add(store.sample(name).part)
            expected.append(name)
    assert odd.prototype is not None
    assert list(odd.prototype.typical) == expected[:3]


@pytest.mark.parametrize(("strategy", "parameters"), SUMMARIES)
def test_the_order_of_rows_and_the_cut_of_blocks_decide_nothing(
    store: EmbeddingStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
    parameters: dict[str, Any],
) -> None:
    def plain(found: OddSamples) -> Any:
        return [[replace_index(odd) for odd in listed] for listed in found.by_label.values()]

    def replace_index(odd: OddSample) -> OddSample:
        return odd if odd.prototype is None else replace(odd, prototype=replace(odd.prototype, index=0, number=0))

    expected = find_odd(store, store.summarize(strategy, split="train", **parameters), top=12)
    order = np.random.default_rng(1).permutation(COUNT)
    for name, value in (("_ROWS", 17), ("_NUMBERS", 200), ("_QUERIES", 5)):
        monkeypatch.setattr(odd_distances, name, value)
    with make(tmp_path / "s", order) as shuffled:
        found = find_odd(shuffled, shuffled.summarize(strategy, split="train", **parameters), top=12)
    assert plain(found) == plain(expected)


def cluster(count: int, seed: int, *, at: int = 0, spread: float = 0.1, dim: int = 16) -> npt.NDArray[np.float32]:
    """Return directions around an axis."""
    centre = np.zeros(dim)
    centre[at] = 1
    return unit_length(centre + spread * np.random.default_rng(seed).normal(size=(count, dim)))


def test_a_spoilt_picture_is_first_even_where_the_summary_keeps_it_and_its_twin(tmp_path: Path) -> None:
    """A prototype that is the picture, or its twin, must not make it look usual; without the group it does."""
    usual, spoilt = cluster(60, 1), cluster(2, 2, at=5, spread=0.01)
    vectors = np.concatenate([usual, spoilt])
    labels = ["good"] * len(vectors)
    for groups, first in (([None] * 60 + ["one", "one"], True), ([None] * 62, False)):
        with store_of(tmp_path / str(first), vectors, labels=labels, groups=groups) as store:
            summary = store.summarize("rare-samples", share=1)
            (odd,) = find_odd(store, summary, top=1).by_label["good"]
            assert (odd.id in ("sample 00060", "sample 00061")) == first
            if first:
                assert odd.alike == 1
                assert odd.reason == "nothing-near"
                assert odd.distance is not None
                assert odd.distance > 1.2


def test_the_mean_of_a_parts_own_pictures_says_nothing_of_it(tmp_path: Path) -> None:
    vectors = np.concatenate([cluster(40, 1), cluster(5, 2, at=5, spread=0.01)])
    with store_of(tmp_path / "s", vectors, labels=["good"] * 45, groups=[None] * 40 + ["one"] * 5) as store:
        summary = store.summarize("sub-prototypes", k=2)
        assert sorted(summary.counts) == [5, 40]
        (odd,) = find_odd(store, summary, top=1).by_label["good"]
        assert odd.group == "one"
        assert odd.alike == 4
        assert odd.prototype is not None
        assert odd.prototype.members == 40
        assert odd.percentile == 100


def test_pictures_of_one_part_that_differ_are_listed_each(tmp_path: Path) -> None:
    vectors = np.concatenate([cluster(40, 1), cluster(1, 2, at=5), cluster(1, 3, at=6)])
    with store_of(tmp_path / "s", vectors, labels=["good"] * 42, groups=[None] * 40 + ["one"] * 2) as store:
        listed = find_odd(store, store.summarize("class-mean"), top=2).by_label["good"]
    assert {odd.id for odd in listed} == {"sample 00040", "sample 00041"}
    assert [odd.alike for odd in listed] == [0, 0]


def test_a_label_of_one_part_comes_first_as_nothing_can_be_compared(tmp_path: Path) -> None:
    vectors = np.concatenate([cluster(30, 1), cluster(3, 2, at=4)])
    with store_of(
        tmp_path / "s", vectors, labels=["good"] * 30 + ["crack"] * 3, groups=[None] * 30 + ["one"] * 3
    ) as store:
        found = find_odd(store)
    assert len(found.by_label["crack"]) == 3  # near is unknown, so none is said to be like another
    for odd in found.by_label["crack"]:
        assert (odd.distance, odd.percentile, odd.prototype, odd.near, odd.alike) == (None, None, None, None, 0)
        assert odd.reason == "nothing-to-compare"
        assert odd.other_label == "good"
        assert [near.label for near in odd.nearest] == ["good"] * 3
        assert "Nothing tells how usual it is" in why(odd)


def test_a_label_that_the_summary_lacks_is_compared_with_every_prototype(store: EmbeddingStore, tmp_path: Path) -> None:
    splits = ["test" if label == "dent" else split for label, split in zip(LABELS, SPLITS, strict=True)]
    with make(tmp_path / "s", splits=splits) as without:
        found = find_odd(without, top=5)
        listed = found.by_label["dent"]
        expected = {one["id"]: one["distance"] for one in by_loops(without, found.against, "dent")}
        assert [odd.distance for odd in listed] == pytest.approx([expected[odd.id] for odd in listed], abs=1e-6)
        assert listed[0].id == next(iter(expected))
        for odd in listed:
            assert odd.other_label is None
            assert odd.prototype is not None
            assert odd.prototype.label in ("crack", "good")
            assert odd.near == found.against.averaging_loss[odd.prototype.label].near
        assert any("no prototype of 'dent'" in remark.en and "「dent」" in remark.ja for remark in found.remarks)
    assert not any("no prototype" in remark.en for remark in find_odd(store, top=1).remarks)


def test_samples_without_a_label_are_compared_with_every_prototype(store: EmbeddingStore) -> None:
    summary = store.summarize("class-mean", split="train")
    found = find_odd(store, summary, top=3, labels=[None])
    assert list(found.by_label) == [None]
    for odd in found.by_label[None]:
        assert odd.label is None
        assert (odd.other_label, odd.other_distance) == (None, None)
        assert odd.prototype is not None
        loss = summary.averaging_loss[odd.prototype.label]
        assert odd.near == loss.near
        assert odd.reason in ("nothing-near", "averaged-away", "edge", "nothing-special")


def test_only_the_labels_asked_for_are_listed_in_the_same_way(store: EmbeddingStore) -> None:
    everything = find_odd(store, top=4)
    some = find_odd(store, top=4, labels=["dent", "crack"])
    assert some.by_label == {label: everything.by_label[label] for label in ("crack", "dent")}
    assert all(len(listed) == 4 for listed in everything.by_label.values())


def test_without_a_summary_one_is_made_of_the_training_side_and_not_kept(store: EmbeddingStore, tmp_path: Path) -> None:
    found = find_odd(store, top=2)
    assert found.against.split == "train"
    assert set(found.against.seen) == {
        one.id for one in store.samples if one.split == "train" and one.label is not None
    }
    assert "not saved" in found.compared_with.en
    assert store.summary_names == []
    with make(tmp_path / "s", splits=[None] * COUNT) as unsplit:
        assert len(find_odd(unsplit, top=1).against.seen) == sum(label is not None for label in LABELS)


def test_where_the_training_side_has_no_label_all_labelled_samples_are_taken_and_that_is_said(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    def told(found: OddSamples) -> bool:
        return any(
            "No picture of the training side has a label" in remark.en and "ラベルがない" in remark.ja
            for remark in found.remarks
        )

    labels = [None if split == "train" else label for label, split in zip(LABELS, SPLITS, strict=True)]
    with make(tmp_path / "s", labels=labels) as elsewhere:
        found = find_odd(elsewhere, top=2)
        assert found.against.split is None
        assert set(found.against.seen) == {name for name, label in zip(IDS, labels, strict=True) if label is not None}
        assert found.by_label == find_odd(elsewhere, elsewhere.summarize("sub-prototypes", k=16), top=2).by_label
        assert found.compared_with.en.startswith("Compared with ")
        assert told(found)
        assert not told(find_odd(elsewhere, elsewhere.summarize("class-mean"), top=2))
    assert not told(find_odd(store, top=2))
    with make(tmp_path / "t", splits=["test"] * COUNT) as tested:
        assert not told(find_odd(tested, top=2))
    with (
        make(tmp_path / "u", labels=[None] * COUNT) as unlabelled,
        pytest.raises(SummaryError, match=r"No sample to summarise in .* has a label"),
    ):
        find_odd(unlabelled)


def test_a_saved_summary_is_found_by_its_name(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        store.summarize("class-mean", name="means", split="train")
        found = find_odd(store, "means", top=2)
        assert found.against.name == "means"
        assert "the summary 'means'" in found.compared_with.en
        assert not any("version" in remark.en for remark in found.remarks)
        assert found.by_label == find_odd(store, store.summary("means"), top=2).by_label
        store.split(seed=3)
        assert any(
            "made of version 1" in remark.en and "version 2" in remark.en
            for remark in find_odd(store, "means", top=2).remarks
        )


def test_what_the_summary_saw_may_have_left_the_store(store: EmbeddingStore, tmp_path: Path) -> None:
    summary = store.summarize("herding", split="train", k=12)
    kept = [at for at in range(COUNT) if at % 2]
    with make(tmp_path / "s", kept) as half:
        found = find_odd(half, summary, top=5)
        names = {near.id for listed in found.by_label.values() for odd in listed for near in odd.nearest}
        assert names <= set(half.ids)
        typical = {
            one
            for listed in found.by_label.values()
            for odd in listed
            if odd.prototype
            for one in odd.prototype.typical
        }
        assert typical <= set(half.ids)


def test_pictures_without_a_group_are_told(store: EmbeddingStore, tmp_path: Path) -> None:
    alone = sum(group is None for group in GROUPS)
    assert any(f"{alone} of {COUNT} pictures have no group" in remark.en for remark in find_odd(store, top=1).remarks)
    with make(tmp_path / "s", groups=[f"part {part}" for part in PARTS]) as grouped:
        assert find_odd(grouped, top=1).remarks == []


def test_progress_counts_both_passes(store: EmbeddingStore) -> None:
    told: list[tuple[int, int]] = []
    find_odd(store, top=2, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {2 * COUNT}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 2 * COUNT


def test_progress_begins_when_there_is_a_summary_to_compare_with(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    make_summary = EmbeddingStore.summarize

    def summarize(self: EmbeddingStore, *arguments: Any, **parameters: Any) -> Summary:
        summary = make_summary(self, *arguments, **parameters)
        events.append("summary")
        return summary

    monkeypatch.setattr(EmbeddingStore, "summarize", summarize)
    find_odd(store, top=1, progress=lambda done, total: events.append(f"{done} of {total}"))
    assert events[:2] == ["summary", f"0 of {2 * COUNT}"]


def test_a_store_of_one_part_has_nothing_to_compare(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", unit_vectors(1, 4), labels=["good"] * 4, groups=["one"] * 4) as store:
        listed = find_odd(store).by_label["good"]
    assert [odd.id for odd in listed] == [f"sample 0000{number}" for number in range(4)]
    for odd in listed:
        assert (odd.nearest, odd.near, odd.alike) == ((), None, 0)
        assert odd.reason == "nothing-to-compare"
        assert why(odd) == "The store has no other part to compare it with."


def test_what_can_not_be_asked_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^The number of samples to list is 0; ask for 1 or more\.$"):
        find_odd(store, top=0)
    with pytest.raises(
        SettingsError, match="no sample with the label 'good '; its labels are: 'crack', 'dent', 'good'"
    ):
        find_odd(store, labels=["crack", "good "])
    with pytest.raises(SummaryError, match="has no summary 'means'"):
        find_odd(store, "means")
    with pytest.raises(
        SummaryError, match=r"keeps a code of each picture's own vector.*name one of sub-prototypes instead"
    ):
        find_odd(store, store.summarize("compressed-own"))
    with store_of(tmp_path / "s", unit_vectors(1, 9, 5), labels=["good"] * 9) as other:
        foreign = other.summarize("class-mean")
        with pytest.raises(SettingsError, match="no sample without a label"):
            find_odd(other, labels=[None])
    with pytest.raises(SummaryError, match="is of another teacher"):
        find_odd(store, foreign)
    with store_of(tmp_path / "t", unit_vectors(1, 9)) as unlabelled, pytest.raises(SummaryError, match="needs labels"):
        find_odd(unlabelled)


# Reasons and sentences.


def neighbour(label: str | None, distance: float, mode: str | None = None, *, seen: bool = True) -> Neighbour:
    return Neighbour("n.png", "n.png", label, mode, None, 1 - distance**2 / 2, distance, seen)


def odd_sample(**changed: Any) -> OddSample:
    """Return a sample at the edge of its label, near means .4, or with other facts."""
    facts: dict[str, Any] = {
        "id": "a.png",
        "uri": "a.png",
        "label": "good",
        "mode": None,
        "group": None,
        "split": None,
        "seen": True,
        "distance": 0.5,
        "percentile": 90.0,
        "prototype": NearestPrototype(0, "good", 1, 20, ("b.png",)),
        "other_label": "crack",
        "other_distance": 0.9,
        "nearest": (neighbour("good", 0.3), neighbour("crack", 0.5), neighbour("good", 0.6)),
        "near": 0.4,
        "alike": 0,
    }
    return OddSample(**{**facts, **changed})


def three(*labels: str | None, first: float = 0.3) -> tuple[Neighbour, ...]:
    return tuple(neighbour(label, first + 0.1 * place) for place, label in enumerate(labels))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, "edge"),
        ({"percentile": 75.0}, "edge"),
        ({"percentile": 74.0}, "nothing-special"),
        ({"percentile": None}, "nothing-special"),
        ({"percentile": 0.0, "distance": 0.561}, "averaged-away"),
        ({"distance": None, "prototype": None}, "nothing-to-compare"),
        ({"nearest": ()}, "nothing-to-compare"),
        ({"nearest": three("good", "good", "good", first=0.561)}, "nothing-near"),
        ({"nearest": three("good", "good", "good", first=0.559)}, "edge"),
        ({"nearest": three("crack", "crack", "crack", first=0.561)}, "nothing-near"),
        ({"nearest": three("crack", "crack", "crack")}, "other-label"),
        ({"nearest": three("crack", "crack", "crack"), "near": None}, "other-label"),
        ({"nearest": three("crack", "crack")}, "edge"),
        ({"nearest": three("crack", "dent", "crack")}, "edge"),
        ({"nearest": three("crack", "dent", "good"), "other_distance": 0.49}, "between-labels"),
        ({"nearest": three("good", "crack", "crack"), "other_distance": 0.49}, "edge"),
        ({"nearest": three(None, "crack", "crack"), "other_distance": 0.49}, "edge"),
        ({"label": None, "nearest": three("crack", "crack", "crack"), "other_distance": None}, "edge"),
        ({"label": None, "nearest": three("crack", "crack", "crack"), "distance": 0.57}, "averaged-away"),
        ({"distance": 0.561}, "averaged-away"),
        ({"distance": 0.559}, "edge"),
        ({"distance": 0.7, "near": None}, "edge"),
        ({"distance": 0.7, "nearest": three("crack", "crack", "good", first=0.4)}, "edge"),
    ],
)
def test_reasons(changed: dict[str, Any], reason: str) -> None:
    assert pytest.approx(1.4) == REACH
    assert odd_sample(**changed).reason == reason


@pytest.mark.parametrize(
    ("changed", "english", "japanese"),
    [
        ({}, ["of the 20 pictures", "18 are nearer", "(0.50)", "'good', 0.30"], ["20 枚のうち 18 枚", "0.50", "0.30"]),
        ({"percentile": None}, ["prototype, of 'good', is 0.50", "0.30"], ["「good」", "0.50", "0.30"]),
        (
            {"percentile": 0.0, "prototype": NearestPrototype(0, "good", 1, 1, ("b.png",))},
            ["Nothing about it is special: of the 1 picture of other parts", ", 0 are nearer", "(0.50)"],
            ["特に変わった点はありません", "1 枚のうち", "0 枚", "（0.50）"],
        ),
        (
            {"percentile": 100.0, "prototype": NearestPrototype(0, "good", 1, 1, ("b.png",))},
            ["edge of 'good': of the 1 picture of other parts", ", 1 is nearer"],
            ["「good」の端", "1 枚のうち 1 枚"],
        ),
        ({"distance": None, "prototype": None}, ["how usual", "'good', 0.30"], ["「good」", "0.30"]),
        (
            {"nearest": (neighbour("crack", 0.75, "hairline"),)},
            ["'crack' (hairline), is 0.75", "half of the pictures of 'good'", "0.40"],
            ["「crack・hairline」", "0.75", "0.40"],
        ),
        (
            {"nearest": three("crack", "crack", "crack")},
            ["labelled 'good'", "3 parts most like it are all 'crack'", "0.30"],
            ["「good」", "3 個", "「crack」", "0.30"],
        ),
        (
            {"nearest": three("dent", "crack", "good"), "other_distance": 0.45},
            ["between 'good' and 'crack'", "0.50 and 0.45", "'dent', 0.30"],
            ["「good」と「crack」", "0.50 と 0.45", "「dent」", "0.30"],
        ),
        (
            {"distance": 0.7, "nearest": three("crack", "good", "good")},
            ["'good', 0.40 away", "0.70 away", "summary hides"],
            ["「good」", "0.40", "0.70", "埋もれ"],
        ),
        (
            {"distance": 0.7, "seen": False, "nearest": (neighbour("good", 0.3, seen=False), neighbour("good", 0.9))},
            ["made without", "'good', is 0.30", "0.70"],
            ["使われていません", "0.30", "0.70"],
        ),
        ({"distance": 0.7, "seen": False}, ["summary hides"], ["埋もれ"]),
        ({"distance": 0.7, "nearest": (neighbour("good", 0.3, seen=False),)}, ["summary hides"], ["埋もれ"]),
        ({"label": None, "nearest": three(None, "good", "good")}, ["without a label, 0.30"], ["ラベルなし", "0.30"]),
    ],
)
def test_sentences_tell_what_was_measured(changed: dict[str, Any], english: list[str], japanese: list[str]) -> None:
    odd = odd_sample(**changed)
    for language, phrases in (("en", english), ("ja", japanese)):
        sentence = why(odd, language)
        for phrase in phrases:
            assert phrase in sentence, sentence
        assert "{" not in sentence
        assert "None" not in sentence
    assert why(odd) == why(odd, "en")


def test_braces_and_quotes_in_a_label_are_no_template() -> None:
    strange = "{label} {0} %s '"
    odd = odd_sample(label=strange, nearest=three(strange, "{away}", "good"))
    for language in ("en", "ja"):
        assert strange in why(odd, language)
