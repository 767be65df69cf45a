"""Twins: what is found against planted parts and against SciPy's average linkage; what is written, and that it stays."""

import csv
import os
import shutil
import tracemalloc
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.cluster.hierarchy
import scipy.sparse
from helpers import CountingTeacher, Killed, killed_after, snapshot, store_of, unit_vectors, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

import embedstore
from embedstore.analysis import twins as module
from embedstore.analysis.twin_groups import Agreement
from embedstore.analysis.twins import find_twins
from embedstore.errors import SettingsError, StoreError
from embedstore.vectors import unit_length

DIM = 64


def photographs(sizes: list[int], *, seed: int = 0, alike: float = 0.1) -> npt.NDArray[np.float32]:
    """Return the vectors of so many photographs of each part, as a teacher gives them.

    All lie in a narrow cone; light, which says nothing of the part, is by far the largest difference between two.
    """
    rng = np.random.default_rng(seed)
    parts = np.repeat(rng.normal(size=(len(sizes), DIM)), sizes, axis=0)
    details = parts + alike * rng.normal(size=parts.shape)
    details[:, 0] = rng.normal(size=len(parts)) * 12  # light
    return unit_length(details * np.r_[1, np.linspace(1, 0.2, DIM - 1)] + 15)


def names_of(sizes: list[int]) -> list[str]:
    return [f"part {part:03d} photo {number}" for part, size in enumerate(sizes) for number in range(size)]


def planted(sizes: list[int]) -> set[frozenset[str]]:
    """Return the sets of two or more photographs of one part."""
    return {
        frozenset(f"part {part:03d} photo {number}" for number in range(size))
        for part, size in enumerate(sizes)
        if size > 1
    }


def as_sets(found: list[list[str]]) -> set[frozenset[str]]:
    return {frozenset(ids) for ids in found}


MIXED = [1] * 200 + [2] * 40 + [3] * 20 + [6] * 10 + [12] * 2


# What is found


def test_finds_the_photographs_of_each_part_and_nothing_else(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", photographs(MIXED), ids=names_of(MIXED)) as store:
        twins = find_twins(store)
    assert as_sets(twins.sets) == planted(MIXED)
    assert [len(ids) for ids in twins.sets] == sorted((size for size in MIXED if size > 1), reverse=True)
    assert twins.calibrated
    assert twins.directions == DIM
    assert twins.agreement is None
    assert twins.remarks == []


def test_the_raw_cosine_could_not_tell_them() -> None:
    """Else the tests here would pass without whitening."""
    vectors = photographs(MIXED)
    part = np.repeat(np.arange(len(MIXED)), MIXED)
    first, second = np.triu_indices(len(vectors), 1)
    similarity, same = (vectors @ vectors.T)[first, second], (part[:, None] == part)[first, second]
    assert np.median(similarity[same]) < np.quantile(similarity[~same], 0.7)


def test_where_no_part_was_photographed_twice_almost_nothing_is_found(tmp_path: Path) -> None:
    for seed in range(4):
        with store_of(tmp_path / f"{seed}", photographs([1] * 400, seed=seed)) as store:
            assert sum(len(ids) for ids in find_twins(store).sets) <= 4


def test_the_threshold_is_what_one_in_a_thousand_made_up_pictures_exceeds(tmp_path: Path) -> None:
    vectors = photographs(MIXED)
    with store_of(tmp_path / "s", vectors, ids=names_of(MIXED)) as store:
        found = find_twins(store)
        stored = store.vectors().astype(np.float64)
    left, _, _ = np.linalg.svd(stored - stored.mean(axis=0), full_matrices=False)
    white = left[:, : found.directions]
    rng = np.random.default_rng(7)
    made_up = np.stack([rng.choice(column, 40_000) for column in white.T], axis=1)
    exceeding = (unit_length(made_up) @ unit_length(white).T).max(axis=1) > found.similarity
    assert 0.0002 < exceeding.mean() < 0.003


@pytest.mark.parametrize("similarity", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("alike", [0.3, 0.8])
def test_sets_are_those_of_average_linkage(tmp_path: Path, similarity: float, alike: float) -> None:
    sizes = [1] * 40 + [2] * 30 + [4] * 20 + [9] * 4
    with store_of(tmp_path / "s", photographs(sizes, alike=alike), ids=names_of(sizes)) as store:
        found = find_twins(store, similarity=similarity)
        stored = store.vectors().astype(np.float64)
    left, _, _ = np.linalg.svd(stored - stored.mean(axis=0), full_matrices=False)
    white = unit_length(left[:, : len(stored) // 5]).astype(np.float64)
    first, second = np.triu_indices(len(white), 1)
    distances = 1 - (white @ white.T)[first, second]
    tree = scipy.cluster.hierarchy.linkage(distances, "average")
    numbers = scipy.cluster.hierarchy.fcluster(tree, 1 - similarity, "distance")
    expected = {frozenset(np.array(names_of(sizes))[numbers == number].tolist()) for number in set(numbers)}
    assert as_sets(found.sets) == {ids for ids in expected if len(ids) > 1}
    assert len(found.sets) > 20


def test_a_chain_of_look_alikes_does_not_become_one_set(tmp_path: Path) -> None:
    """Each picture of the chain is like the next and the first nothing like the last."""
    rng = np.random.default_rng(0)
    others = rng.normal(size=(200, DIM))
    angle = np.linspace(0, 3, 30)[:, None]
    chain = 6 * (np.cos(angle) * others[0] + np.sin(angle) * others[1])
    with store_of(tmp_path / "s", unit_length(np.concatenate([chain, others[2:]]))) as store:
        twins = find_twins(store)
        threshold, vectors = twins.similarity, unit_length(module._whiten(store, np.arange(len(store))))
    links = scipy.sparse.csr_matrix(vectors @ vectors.T > threshold)
    _, glued = scipy.sparse.csgraph.connected_components(links, directed=False)
    assert (glued[:30] == glued[0]).all()
    assert 2 <= len(twins.sets[0]) <= 20


def test_the_best_pairs_of_a_sample_with_many_twins_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [1] * 800 + [150]
    with store_of(tmp_path / "s", photographs(sizes), ids=names_of(sizes)) as store:
        found = find_twins(store)
        vectors = unit_length(module._whiten(store, np.arange(len(store))))
        some = module._pairs(vectors, found.similarity, None)
        monkeypatch.setattr(module, "_KEPT", 150)
        every = module._pairs(vectors, found.similarity, None)
        assert find_twins(store).sets == found.sets
    assert len(every) == (np.triu(vectors @ vectors.T, 1) > found.similarity).sum()
    assert len(some) < len(every) / 2
    assert len(found.sets[0]) > 100


def test_neither_the_order_of_rows_nor_the_cut_into_blocks_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, names = photographs(MIXED, alike=0.6), names_of(MIXED)
    groups = [f"g{number}" if number % 7 == 0 else None for number in range(len(names))]
    order = np.random.default_rng(1).permutation(len(names))
    with store_of(tmp_path / "s", vectors, ids=names, groups=groups) as store:
        expected = find_twins(store)
    shuffled = {"ids": [names[at] for at in order], "groups": [groups[at] for at in order]}
    with store_of(tmp_path / "t", vectors[order], **shuffled) as store:
        assert find_twins(store) == expected
        monkeypatch.setattr(module, "_ROWS", 17)
        monkeypatch.setattr(module, "_COLUMNS", 29)
        cut = find_twins(store)
    assert cut.sets == expected.sets
    assert cut.similarity == pytest.approx(expected.similarity, abs=1e-5)
    assert len(expected.sets) > 20


def test_progress_ends_at_all_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 100)
    told: list[tuple[int, int]] = []
    with store_of(tmp_path / "s", photographs([1] * 250)) as store:
        find_twins(store, progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 250), (200, 250), (250, 250)]


def test_memory_is_that_of_the_vectors_and_little_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 128)
    monkeypatch.setattr(module, "_COLUMNS", 256)
    monkeypatch.setattr(module, "MADE_UP", 100)
    count = 6_000
    with store_of(tmp_path / "s", unit_vectors(0, count, module.DIRECTIONS)) as store:
        store.samples  # noqa: B018  they are there before, and no part of what is measured
        tracemalloc.start()
        find_twins(store, similarity=0.9)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * count * module.DIRECTIONS * 4


# Groups that are proposed


SIX = [2, 2, 3, 3, 2, 2] + [1] * 300  # six parts with twins, and others


def proposed(tmp_path: Path, groups: dict[str, str], **fields: dict[str, str]) -> module.Twins:
    names = names_of(SIX)
    columns: dict[str, list[Any]] = {"groups": [groups.get(name) for name in names]}
    columns |= {key: [values.get(name) for name in names] for key, values in fields.items()}
    with store_of(tmp_path / "s", photographs(SIX), ids=names, **columns) as store:
        twins = find_twins(store)
    assert as_sets(twins.sets) == planted(SIX)
    return twins


def test_a_set_without_groups_gets_one_named_after_its_first_sample(tmp_path: Path) -> None:
    twins = proposed(tmp_path, {})
    assert twins.groups == {name: f"twins of {min(ids)}" for ids in planted(SIX) for name in ids}


def test_samples_without_a_group_join_the_one_that_their_set_has(tmp_path: Path) -> None:
    twins = proposed(tmp_path, {"part 002 photo 1": "A", "part 060 photo 0": "B"})
    assert {name: group for name, group in twins.groups.items() if name.startswith("part 002")} == {
        "part 002 photo 0": "A",
        "part 002 photo 2": "A",
    }
    assert "part 060 photo 0" not in twins.groups
    assert twins.remarks == []


def test_given_groups_stay_apart_and_the_conflict_is_told(tmp_path: Path) -> None:
    twins = proposed(tmp_path, {"part 000 photo 0": "A", "part 000 photo 1": "B", "part 001 photo 0": "A"})
    assert twins.groups["part 001 photo 1"] == "A"
    assert not any(name.startswith("part 000") for name in twins.groups)
    assert twins.merged == {"B": "A"}
    assert twins.remarks == [
        "1 sets hold pictures of several groups that are there already, such as 'A' and 'B'. United, 2 groups would be 1, "
        "the largest with 4 pictures of 2 groups ('A')."
    ]


def test_of_two_given_groups_the_most_similar_sample_decides(tmp_path: Path) -> None:
    vectors = photographs(SIX)
    vectors[6] = vectors[5]  # photo 2 of part 002 is a copy of photo 1
    names = names_of(SIX)
    groups = {"part 002 photo 0": "A", "part 002 photo 1": "B"}
    with store_of(tmp_path / "s", vectors, ids=names, groups=[groups.get(name) for name in names]) as store:
        assert find_twins(store).groups["part 002 photo 2"] == "B"


def test_a_new_group_never_takes_a_name_that_is_there(tmp_path: Path) -> None:
    taken = {"part 060 photo 0": "twins of part 000 photo 0", "part 061 photo 0": "twins of part 000 photo 0+"}
    twins = proposed(tmp_path, taken)
    assert twins.groups["part 000 photo 1"] == "twins of part 000 photo 0++"
    assert twins.groups["part 001 photo 1"] == "twins of part 001 photo 0"


def test_two_new_groups_never_get_the_same_name(tmp_path: Path) -> None:
    names = names_of(SIX)
    names[names.index("part 001 photo 0")] = "part 000 photo 0+"
    groups = ["twins of part 000 photo 0" if name == "part 060 photo 0" else None for name in names]
    with store_of(tmp_path / "s", photographs(SIX), ids=names, groups=groups) as store:
        found = find_twins(store).groups
    assert found["part 000 photo 1"] == "twins of part 000 photo 0+"
    assert found["part 001 photo 1"] == "twins of part 000 photo 0++"


def test_sets_that_mix_labels_and_modes_are_told(tmp_path: Path) -> None:
    labels = {"part 000 photo 0": "good", "part 000 photo 1": "crack", "part 001 photo 0": "good"}
    labels |= {"part 002 photo 0": "good", "part 002 photo 1": "crack"}
    modes = {"part 003 photo 0": "long", "part 003 photo 2": "short"}
    twins = proposed(tmp_path, {}, labels=labels, modes=modes)
    assert len(twins.groups) == 14  # they are grouped all the same
    assert twins.remarks == [
        "2 of 6 sets mix labels: look for errors in them, such as at 'part 002 photo 0' (crack, good).",
        "1 of 6 sets mix modes: look for errors in them, such as at 'part 003 photo 0' (long, short).",
    ]


@settings(max_examples=25)
@given(groups=st.dictionaries(st.sampled_from(names_of(SIX)[:20]), st.sampled_from("ABC")))
def test_whatever_the_groups_are_they_stay_and_a_second_time_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, groups: dict[str, str]
) -> None:
    names = names_of(SIX)
    place = tmp_path_factory.mktemp("store") / "s"
    with store_of(place, photographs(SIX), ids=names, groups=[groups.get(name) for name in names]) as store:
        twins = find_twins(store)
        assert not groups.keys() & twins.groups.keys()
        assert set().union(*planted(SIX)) <= groups.keys() | twins.groups.keys()
        for ids in planted(SIX):
            fixed = {groups[name] for name in ids if name in groups}
            fresh = {twins.groups[name] for name in ids if name not in groups}
            assert fresh <= fixed if fixed else len(fresh) == 1
        store.set_groups(twins.groups)
        assert {sample.id: sample.group for sample in store.samples if sample.group} == groups | twins.groups
        again = find_twins(store)
        assert (again.groups, again.merged) == ({}, twins.merged)
        store.set_groups(again.groups, merge=again.merged)
        of = {sample.id: sample.group for sample in store.samples}
        assert all(len({of[name] for name in ids}) == 1 for ids in planted(SIX))
        assert find_twins(store).merged == {}
    shutil.rmtree(place)


# Agreement


def test_agreement_counts_pairs_and_looks_only_at_what_the_source_gave(tmp_path: Path) -> None:
    given = {
        **dict.fromkeys(["part 002 photo 0", "part 002 photo 1"], "A"),  # found and given
        "part 002 photo 2": "B",  # found with both, given with neither
        **dict.fromkeys(["part 000 photo 0", "part 060 photo 0"], "C"),  # given, not found
        "part 003 photo 0": "D",  # its twins have no given group: they say nothing
    }
    names = names_of(SIX)
    with store_of(
        tmp_path / "s",
        photographs(SIX),
        ids=names,
        groups=[given.get(name) for name in names],
        sources=[{"group": given[name]} if name in given else None for name in names],
    ) as store:
        twins = find_twins(store)
        store.set_groups(twins.groups)
        again = find_twins(store)
    assert twins.agreement == Agreement(given=2, found=3, shared=1)
    assert (twins.agreement.precision, twins.agreement.recall) == (1 / 3, 1 / 2)
    assert again.agreement == twins.agreement  # groups that were written from twins don't count as given
    assert again.sets == twins.sets


def test_agreement_is_what_counting_every_pair_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = names_of(MIXED)
    part = np.repeat(np.arange(len(MIXED)), MIXED)
    given = [[None, f"{number}", f"{number // 2}", f"{number // 2}"][rng.integers(4)] for number in part]
    with store_of(
        tmp_path / "s",
        photographs(MIXED, alike=0.6),
        ids=names,
        groups=given,
        sources=[{"group": group} if group else None for group in given],
    ) as store:
        twins = find_twins(store)
    group_of = dict(zip(names, given, strict=True))
    found = {pair for ids in twins.sets for pair in combinations(ids, 2) if all(group_of[name] for name in pair)}
    pairs = {
        pair for pair in combinations(sorted(names), 2) if group_of[pair[0]] and group_of[pair[0]] == group_of[pair[1]]
    }
    assert twins.agreement == Agreement(len(pairs), len(found), len(pairs & found))
    assert 0 < len(pairs & found) < min(len(pairs), len(found))


def test_without_a_pair_no_share_is_told() -> None:
    assert (Agreement(0, 0, 0).precision, Agreement(0, 0, 0).recall) == (None, None)


# What is refused


@pytest.mark.parametrize("similarity", [0.0, 1.0, -0.5, 3.0, float("nan")])
def test_a_similarity_out_of_range_is_refused(tmp_path: Path, similarity: float) -> None:
    with (
        store_of(tmp_path / "s", photographs([1] * 60)) as store,
        pytest.raises(SettingsError, match="expected a number"),
    ):
        find_twins(store, similarity=similarity)


def test_too_few_samples_to_calibrate_on_are_refused_but_a_given_similarity_serves(tmp_path: Path) -> None:
    vectors = photographs([1] * 49)
    vectors[4] = vectors[30]
    with store_of(tmp_path / "s", vectors) as store:
        with pytest.raises(SettingsError, match="has 49 samples, too few"):
            find_twins(store)
        twins = find_twins(store, similarity=0.99)
    assert twins.sets == [["sample 00004", "sample 00030"]]
    assert not twins.calibrated
    with store_of(tmp_path / "t", vectors[:1]) as store, pytest.raises(SettingsError, match="has 1 samples"):
        find_twins(store, similarity=0.5)


@pytest.mark.parametrize("similarity", [None, 0.5])
def test_samples_that_are_all_the_same_are_refused(tmp_path: Path, similarity: float | None) -> None:
    vectors = np.repeat(photographs([1]), 60, axis=0)
    with store_of(tmp_path / "s", vectors) as store, pytest.raises(SettingsError, match="have the same vector"):
        find_twins(store, similarity=similarity)


@pytest.mark.parametrize("scale", [8, 2**-7])
def test_the_length_of_vectors_changes_no_set(tmp_path: Path, scale: float) -> None:
    vectors = photographs(MIXED).astype(np.float16)
    with store_of(tmp_path / "s", vectors) as one, store_of(tmp_path / "t", scale * vectors) as other:
        assert find_twins(other).sets == find_twins(one).sets


def test_pictures_that_differ_in_one_direction_only_give_no_twins_and_say_why(tmp_path: Path) -> None:
    angle = np.random.default_rng(0).uniform(0, 1, 80)
    with store_of(tmp_path / "s", np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)) as store:
        twins = find_twins(store)
    assert twins.remarks[0].startswith("The pictures are too few, or too much alike")


# What is written


def test_groups_are_written_as_one_version_and_only_once(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", photographs(SIX), ids=names_of(SIX)) as store:
        before = {sample.id: sample for sample in store.samples}
        groups = find_twins(store).groups
        assert store.set_groups(groups) == 14
        assert store.version == 2
        assert {sample.id: sample for sample in store.samples} == {
            name: replace(sample, group=groups.get(name)) for name, sample in before.items()
        }
        assert store.set_groups(groups) == 0
        assert store.set_groups({}) == 0
        assert store.version == 2
    with embedstore.open(tmp_path / "s") as store:
        assert store.version == 2
        assert store.counts("group")["twins of part 002 photo 0"] == 3


def test_groups_are_united_whole_as_one_version_and_only_once(tmp_path: Path) -> None:
    """All pictures of a group that moves, also those that it gets just now."""
    with store_of(tmp_path / "s", photographs([1] * 7), groups=["A", "B", "B", "C", "D", None, None]) as store:
        asked = {"sample 00005": "B"}
        with pytest.raises(StoreError, match=r"sample 00001.*\(it has B\)"):
            store.set_groups({"sample 00001": "A"})
        assert store.set_groups(asked, merge={"B": "A", "C": "A", "nowhere": "D"}) == 4
        assert store.version == 2
        assert [sample.group for sample in store.samples] == ["A", "A", "A", "A", "D", "A", None]
        assert store.set_groups(asked, merge={"B": "A", "C": "A"}) == 0
        assert store.version == 2
        with pytest.raises(StoreError, match=r"sample 00005.*\(it has A\)"):  # where it isn't asked to move
            store.set_groups(asked)


@pytest.mark.parametrize(
    ("merge", "message"),
    [({"A": ""}, "'A' can't go into ''"), ({"A": "B", "B": "C"}, "'A' can't go into 'B'"), ({"A": "A"}, "into 'A'")],
)
def test_groups_that_can_not_be_united_leave_the_store_as_it_was(
    tmp_path: Path, merge: dict[str, str], message: str
) -> None:
    with store_of(tmp_path / "s", photographs([1] * 3), groups=["A", "B", None]) as store:
        before = snapshot(store)
        with pytest.raises(StoreError, match=message):
            store.set_groups({"sample 00002": "A"}, merge=merge)
        store.refresh()
        assert snapshot(store) == before


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"sample 00001": "B", "sample 00000": "B"}, r"sample 00000.*\(it has A\)"),
        ({"sample 00001": "B", "nobody": "B"}, "no sample 'nobody'"),
        ({"sample 00001": ""}, "can't get the group ''"),
    ],
)
def test_groups_that_can_not_be_written_leave_the_store_as_it_was(
    tmp_path: Path, groups: dict[str, str], message: str
) -> None:
    with store_of(tmp_path / "s", photographs([1] * 3), groups=["A", None, None]) as store:
        before = snapshot(store)
        with pytest.raises(StoreError, match=message):
            store.set_groups(groups)
        store.refresh()
        assert snapshot(store) == before


def test_ids_and_names_may_be_spelt_in_any_unicode_form(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", photographs([1] * 2), ids=["caf\u00e9", "b"]) as store:
        assert store.set_groups({"cafe\u0301": "pie\u0300ce"}) == 1
        assert store.sample("caf\u00e9").group == "pi\u00e8ce"
        assert store.set_groups({"caf\u00e9": "pi\u00e8ce"}) == 0
        assert store.set_groups({}, merge={"pie\u0300ce": "e\u0301"}) == 1
        assert store.sample("caf\u00e9").group == "\u00e9"


@pytest.mark.parametrize("merge", [False, True])
def test_a_kill_at_any_transaction_leaves_all_groups_or_none(tmp_path: Path, merge: bool) -> None:
    names = names_of(SIX)
    given = dict(zip(names[:2], "AB", strict=True)) if merge else {}
    groups = [given.get(name) for name in names]
    store_of(tmp_path / "kept", photographs(SIX), ids=names, groups=groups).close()
    outcomes = []
    for writes in range(20):
        shutil.copytree(tmp_path / "kept", tmp_path / "s")
        with embedstore.open(tmp_path / "s") as store:
            twins = find_twins(store)
            expected = {**twins.groups, **dict.fromkeys(given, "A")}
            assert (len(expected), twins.merged) == (14, {"B": "A"} if merge else {})
            try:
                with killed_after(writes):
                    store.set_groups(twins.groups, merge=twins.merged)
                finished = True
            except Killed:
                finished = False
        with embedstore.open(tmp_path / "s") as store:
            found = {sample.id: sample.group for sample in store.samples if sample.group}
            assert (store.version, found) == ((2, expected) if finished else (1, given))
            store.set_groups(twins.groups, merge=twins.merged)  # cleans up after the dead writer and goes on
            assert store.version == 2
            assert {sample.id: sample.group for sample in store.samples if sample.group} == expected
        shutil.rmtree(tmp_path / "s")
        outcomes.append(finished)
        if finished:
            break
    assert outcomes.count(False) >= 2
    assert outcomes[-1]


@pytest.mark.parametrize("column", [False, True])
def test_a_later_build_keeps_the_groups_until_the_manifest_says_another(tmp_path: Path, column: bool) -> None:
    names = [f"good/{number}.png" for number in range(6)]
    write_pictures(tmp_path / "images", names)
    manifest = tmp_path / "photos.csv"

    def build(**groups: str) -> Any:
        with manifest.open("w", newline="") as file:
            header = ["path", "group"] if column else ["path"]
            csv.writer(file).writerows([header, *([n, groups.get(n, "")][: len(header)] for n in names)])
        return embedstore.build(
            tmp_path / "s", tmp_path / "images", manifest=manifest, teacher=CountingTeacher(), views=0
        )

    given = {"good/5.png": "Z"} if column else {}
    build(**given)
    with embedstore.open(tmp_path / "s") as store:
        store.set_groups({"good/0.png": "T", "good/1.png": "T"})
        before = snapshot(store)
    assert build(**given).version == 2
    with embedstore.open(tmp_path / "s") as store:
        assert snapshot(store) == before
        assert [sample.group for sample in store.samples] == ["T", "T", None, None, None, "Z" if column else None]
    write_pictures(tmp_path / "images", ["good/0.png"], seed=9)  # another picture of the same id
    build(**given)
    with embedstore.open(tmp_path / "s") as store:
        assert store.sample("good/0.png").group == "T"
    if column:
        build(**given, **{"good/0.png": "M"})
        with embedstore.open(tmp_path / "s") as store:
            assert [store.sample(name).group for name in names[:2]] == ["M", "T"]
    assert os.path.exists(manifest)


def test_a_later_build_keeps_united_groups_until_the_manifest_says_another(tmp_path: Path) -> None:
    names = [f"good/{number}.png" for number in range(4)]
    write_pictures(tmp_path / "images", names)

    def build(groups: str) -> list[str | None]:
        rows = [["path", "group"], *([name, group] for name, group in zip(names, groups, strict=True))]
        with (tmp_path / "photos.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        embedstore.build(
            tmp_path / "s", tmp_path / "images", manifest=tmp_path / "photos.csv", teacher=CountingTeacher(), views=0
        )
        with embedstore.open(tmp_path / "s") as store:
            return [store.sample(name).group for name in names]

    assert build("AABC") == ["A", "A", "B", "C"]
    with embedstore.open(tmp_path / "s") as store:
        store.set_groups({}, merge={"A": "B"})
        before = snapshot(store)
    assert build("AABC") == ["B", "B", "B", "C"]
    with embedstore.open(tmp_path / "s") as store:
        assert snapshot(store) == before
    write_pictures(tmp_path / "images", ["good/0.png"], seed=9)  # another picture of the same id
    assert build("AABC") == ["B", "B", "B", "C"]
    assert build("ADBC") == ["B", "D", "B", "C"]
