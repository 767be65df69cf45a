"""What a store says of a task, against vectors by hand and a search by brute force."""

from pathlib import Path

import numpy as np
from helpers import store_of

from distill.advice.looks import HiddenMode, look
from embedstore import EmbeddingStore
from embedstore.analysis.odd_samples import find_odd
from embedstore.analysis.twins import find_twins
from embedstore.vectors import unit_length

A = 0.6  # how far each sample lies beside its kind's axis, in a direction of its own


def by_hand() -> dict[str, list[object]]:
    """Return eight scratches around one axis, two frays around another, and six good ones around a third.

    Of a kind, two samples are A * sqrt(2 / (1 + A^2)) = .73 apart. The mean of the defects lies among the scratches, .55 from
    each, and 1.2 from each fray.
    """
    kinds = ["scratch"] * 8 + ["fray"] * 2 + [""] * 6
    axes = {"scratch": 0, "fray": 1, "": 2}
    vectors = np.zeros((16, 3 + 16))
    for number, kind in enumerate(kinds):
        vectors[number, axes[kind]], vectors[number, 3 + number] = 1, A
    return {
        "vectors": list(unit_length(vectors)),
        "labels": ["defect" if kind else "good" for kind in kinds],
        "modes": [kind or None for kind in kinds],
        "groups": [f"part {number}" for number in range(15)] + [None],
        "splits": [None] * 16,
    }


def store_by_hand(path: Path, order: list[int] | None = None, **changes: list[object]) -> EmbeddingStore:
    fields = by_hand() | changes
    count = len(fields["labels"])
    chosen = {name: [values[at] for at in order or range(count)] for name, values in fields.items()}
    chosen["ids"] = [f"{at:02}" for at in order or range(count)]
    vectors = np.array(chosen.pop("vectors"))
    return store_of(path, vectors, **chosen)


def test_the_kind_that_a_mean_hides_is_named(tmp_path: Path) -> None:
    with store_by_hand(tmp_path / "s") as store:
        looks = look(store, "good")
        assert looks.hidden == [HiddenMode("fray", "defect", 2, 2)]
        assert (looks.modes, looks.pictures, looks.without_group, looks.views) == (2, 16, 1, 0)
        found = {one.label: (one.pictures, one.parts, one.far) for one in looks.labels}
        assert found == {"good": (6, 6, 0), "defect": (10, 10, far_by_brute_force(store, "defect"))}
        assert found["defect"][2] == 2
        assert [one.label for one in looks.labels] == ["good", "defect"]  # the rarest first
        assert not looks.compared  # too few to tell twins


def far_by_brute_force(store: EmbeddingStore, label: str) -> int:
    chosen = [one for one in store.samples if one.label == label]
    vectors = store.read(store.positions([one.id for one in chosen])).astype(np.float64)
    mean = vectors.mean(axis=0)
    distances = np.linalg.norm(vectors / np.linalg.norm(vectors, axis=1)[:, None] - mean / np.linalg.norm(mean), axis=1)
    nearest = [
        min(
            float(np.linalg.norm(vectors[a] - vectors[b]))
            for b in range(len(chosen))
            if chosen[b].part != chosen[a].part
        )
        for a in range(len(chosen))
    ]
    return int((distances > np.median(nearest)).sum())


def test_kinds_of_good_parts_are_no_defects_and_without_a_good_label_all_kinds_count(tmp_path: Path) -> None:
    modes = by_hand()["modes"]
    modes[10:] = ["plain"] * 5 + ["shiny"]
    with store_by_hand(tmp_path / "s", modes=modes) as store:
        assert (look(store, "good").modes, look(store, None).modes) == (2, 4)


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(16).tolist()
    with store_by_hand(tmp_path / "a") as first, store_by_hand(tmp_path / "b", order) as second:
        assert look(first, "good") == look(second, "good")


def test_what_is_set_aside_or_has_no_label_is_counted_and_not_looked_at(tmp_path: Path) -> None:
    fields = by_hand()
    fields["labels"][9], fields["splits"][8] = None, "aside"  # both frays
    with store_by_hand(tmp_path / "s", labels=fields["labels"], splits=fields["splits"]) as store:
        looks = look(store, "good")
    assert (looks.hidden, looks.unlabelled, looks.aside, looks.modes) == ([], 1, 1, 1)
    assert [(one.label, one.pictures) for one in looks.labels] == [("good", 6), ("defect", 8)]


def test_odd_pictures_and_twins_are_those_that_the_analyses_find(store: EmbeddingStore) -> None:
    looks = look(store, "good")
    twins = find_twins(store)
    alone = {one.id for one in store.samples if one.group is None}
    groups = {one.id: one.group for one in store.samples}
    sides = {one.id: one.split for one in store.samples if one.split != "aside"}
    assert looks.compared
    assert looks.ungrouped_twins == sum(bool(alone & set(members)) for members in twins.sets)
    meeting = [{groups[one] for one in members} - {None} for members in twins.sets]
    assert looks.meeting_groups == len(set().union(*(names for names in meeting if len(names) > 1)))
    assert looks.torn_sets == sum(len({sides[one] for one in members if one in sides}) > 1 for members in twins.sets)
    assert looks.torn_sets > 0
    for one in looks.labels:
        reasons = [odd.reason for odd in find_odd(store, top=20, labels=[one.label]).by_label[one.label]]
        assert (one.apart, one.hidden, one.oddest) == (
            reasons.count("nothing-near"),
            reasons.count("averaged-away"),
            20,
        )


def test_a_label_of_one_part_has_no_distance_that_is_near(tmp_path: Path) -> None:
    with store_by_hand(tmp_path / "s", groups=[*["one"] * 10, *(f"part {n}" for n in range(6))]) as store:
        found = {one.label: (one.parts, one.far) for one in look(store, "good").labels}
    assert found == {"defect": (1, None), "good": (6, 0)}
