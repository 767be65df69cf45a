"""Planted changes and their verdicts; what stays quiet; what is too small; the same whatever the order of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import planted_batches as planted
import pytest
from helpers import store_of

from embedstore import EmbeddingStore
from embedstore.analysis.drift import Batch, DriftReport, find_drift, from_store
from embedstore.analysis.drift.comparison import Comparison
from embedstore.analysis.drift.reference import Reference, reference_of
from embedstore.errors import SettingsError, SummaryError
from embedstore.pages.words import Text
from embedstore.store.snapshot import Snapshot
from embedstore.vectors import unit_length


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with planted.make(tmp_path_factory.mktemp("line") / "s") as opened:
        yield opened


@pytest.fixture(scope="module")
def usual(store: EmbeddingStore) -> Reference:
    return reference_of(store, set())


def moved(batch: Batch, step: np.ndarray, rows: np.ndarray | None = None) -> Batch:
    """Return a batch of which some pictures, or all, lie a step away."""
    vectors = batch.vectors.copy()
    at = np.arange(len(batch)) if rows is None else rows
    vectors[at] = vectors[at] + step
    return replace(batch, vectors=vectors)


def test_new_parts_of_the_same_line_raise_no_more_alarms_than_stated(store: EmbeddingStore, usual: Reference) -> None:
    ps = [find_drift(store, planted.fresh(seed), false_alarms=0.1, reference=usual).p for seed in range(60)]
    assert np.mean(np.array(ps) <= 0.1) <= 0.1 + 2.5 * (0.09 / 60) ** 0.5
    assert np.mean(np.array(ps) <= 0.5) > 0.25  # and they are no constant


def test_all_moved_alike_is_the_camera(store: EmbeddingStore, usual: Reference) -> None:
    found = find_drift(store, moved(planted.fresh(), 0.4 * np.eye(planted.DIM)[5]), reference=usual)
    assert (found.drifted, found.kind) == (True, "camera")
    assert found.p == 0.002  # of 999 draws none is as far; the smallest of two tests ties with one at most
    assert found.explained > 0.9
    assert found.alike > 0.9
    assert found.sentences[0].en.startswith("Camera or light changed")
    assert all(
        row.shift is not None and row.usual_shift is not None and row.shift > row.usual_shift for row in found.labels
    )
    inside = [one.distance - one.radius for one in found.moved if not one.outside]  # they lie close to one another
    assert len(inside) > 10
    assert inside == sorted(inside, reverse=True)
    assert inside[0] > 0


def test_a_few_near_each_other_and_far_from_all_are_a_new_defect(store: EmbeddingStore, usual: Reference) -> None:
    batch = planted.fresh(2)
    new = [f"new {at:03d}.png" for at in (0, 2, 5, 7)]  # of four parts
    rows = np.array([0, 2, 5, 7])
    vectors = batch.vectors.copy()
    vectors[rows] = 0.2 * vectors[rows] + 1.5 * np.eye(planted.DIM)[9]
    groups = [f"other {at}" if at in rows else sample.group for at, sample in enumerate(batch.samples)]
    found = find_drift(store, planted.batch(vectors, groups), reference=usual)
    assert (found.drifted, found.kind, found.clustered) == (True, "new-defect", True)
    assert {one.id for one in found.moved[:4]} == set(new)
    assert all(one.outside and one.distance > one.radius for one in found.moved[:4])
    assert found.p_rest > 0.01
    assert "near each other" in found.sentences[0].en


def test_parts_that_moved_in_opposite_ways_are_the_line(store: EmbeddingStore, usual: Reference) -> None:
    batch = planted.fresh(3, 40)
    groups = [sample.group for sample in batch.samples]
    axis = {group: at % 2 for at, group in enumerate(dict.fromkeys(groups))}
    vectors = batch.vectors.copy()
    for at, group in enumerate(groups):
        vectors[at, 10] += 1.0 if axis[group] else -1.0
    found = find_drift(store, replace(batch, vectors=vectors), reference=usual)
    assert (found.drifted, found.kind) == (True, "line")
    assert found.sentences[0].en.startswith("The line changed")


def test_another_mix_is_told_and_is_no_drift(store: EmbeddingStore, usual: Reference) -> None:
    found = find_drift(store, planted.fresh(4, cracks=0.85), reference=usual)
    assert (found.drifted, found.kind) == (False, "quiet")
    assert found.p_mix <= 0.01
    assert any("The mix differs" in one.en for one in found.sentences)
    crack = next(row for row in found.labels if row.label == "crack")
    assert crack.share == pytest.approx(np.mean(found.labels[0].pictures / found.pictures))
    assert crack.share > 0.75
    assert crack.usual_share < 0.45


def test_a_batch_all_like_a_label_of_one_part_is_drift(tmp_path: Path) -> None:
    """Drawn from that label alone, every batch would be this one, and nothing a surprise."""
    vectors, labels, groups = planted.parts(planted.STORE_PARTS, 0)
    rare = 3 * np.eye(planted.DIM)[9]
    with store_of(
        tmp_path / "s",
        unit_length(np.concatenate([vectors, rare[None]])),
        labels=[*labels, "rare"],
        groups=[*groups, "rare"],
    ) as store:
        batch = rare + 0.1 * np.random.default_rng(1).normal(size=(30, planted.DIM))
        found = find_drift(store, planted.batch(batch, [f"new {at}" for at in range(30)]))
    assert found.drifted


def test_light_that_the_teacher_overlooks_is_the_camera(store: EmbeddingStore, usual: Reference) -> None:
    rng = np.random.default_rng(0)
    lit = replace(usual, lights=rng.normal(size=(len(usual.drawn), 3)), no_lights=Text("", ""))
    batch = planted.fresh()
    lights = rng.normal(size=(len(batch), 3))
    same = find_drift(store, replace(batch, lights=lights), reference=lit)
    assert (same.drifted, same.kind) == (False, "quiet")
    darker = find_drift(store, replace(batch, lights=lights - np.array([1.0, 0, 0])), reference=lit)
    assert (darker.drifted, darker.kind) == (True, "camera")
    assert darker.p_whole > 0.01
    assert darker.light is not None
    assert same.light is not None
    assert darker.light.p == 0.001
    assert darker.light.level == pytest.approx(same.light.level / 2)
    assert darker.light.sharpness == pytest.approx(same.light.sharpness)
    assert "the teacher hardly sees" in darker.sentences[0].en
    assert any(f"brightness {darker.light.level:.2f}" in one.en for one in darker.sentences)
    ways = np.where(rng.random(len(batch)) < 0.5, -4, 4)[:, None] * np.array([0, 0, 1.0])
    both = find_drift(store, replace(batch, lights=lights + ways), reference=lit)
    assert (both.drifted, both.kind) == (True, "line")  # not all alike


def test_tests_together_keep_the_rate(store: EmbeddingStore, usual: Reference) -> None:
    rng = np.random.default_rng(3)
    lit = replace(usual, lights=rng.normal(size=(len(usual.drawn), 3)), no_lights=Text("", ""))
    ps = [
        find_drift(
            store,
            replace(batch, lights=rng.normal(size=(len(batch), 3))),
            false_alarms=0.1,
            reference=lit,
        ).p
        for batch in (planted.fresh(seed) for seed in range(60))
    ]
    assert np.mean(np.array(ps) <= 0.1) <= 0.1 + 2.5 * (0.09 / 60) ** 0.5
    assert np.mean(np.array(ps) <= 0.5) > 0.25


def test_parts_that_nobody_named_are_taken_to_be_as_large_as_the_stores(
    store: EmbeddingStore, usual: Reference
) -> None:
    found = [
        find_drift(store, replace(batch, samples=[replace(one, group=None) for one in batch.samples]), reference=usual)
        for batch in (planted.fresh(seed) for seed in range(30))
    ]
    assert {one.parts for one in found} == {30}  # of 75 pictures; the store's parts have 2.5
    assert sum(one.drifted for one in found) <= 2  # of one a part, every third would be
    assert not any(one.parts_known for one in found)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_so_few_are_told_to_be_too_few(store: EmbeddingStore, usual: Reference, count: int) -> None:
    answers = [find_drift(store, planted.fresh(seed, count), reference=usual) for seed in range(20, 32)]
    quiet = [found for found in answers if not found.drifted]
    assert len(quiet) >= len(answers) - 1
    for found in quiet:
        assert found.kind == "too-few"
        assert found.sentences[0].en.startswith(f"Too few to tell: {found.pictures} pictures of {count} part")
        assert found.sentences[-1].en.startswith("What can be said:")


def test_few_that_are_plainly_else_raise_an_alarm_of_unknown_kind(store: EmbeddingStore, usual: Reference) -> None:
    found = find_drift(store, moved(planted.fresh(6, 4), 2 * np.eye(planted.DIM)[7]), reference=usual)
    assert (found.drifted, found.kind) == (True, "unclear")


def test_order_of_rows_decides_nothing(store: EmbeddingStore, usual: Reference, tmp_path: Path) -> None:
    batch = planted.fresh(7)
    order = np.random.default_rng(2).permutation(len(store))
    with planted.make(tmp_path / "shuffled", order) as shuffled:
        found = find_drift(shuffled, batch)
    expected = find_drift(store, batch)
    assert found == expected == find_drift(store, batch, reference=usual)
    turned = replace(batch, samples=batch.samples[::-1], vectors=batch.vectors[::-1])
    assert find_drift(store, turned, reference=usual) == expected


def test_parts_of_the_batch_are_left_out_of_the_store(store: EmbeddingStore) -> None:
    names = [name for name in store.ids if int(name.split("/")[0].removeprefix("part ")) < 30]
    found = find_drift(store, from_store(store, store, names))
    assert found.left_out == len(names) == found.pictures
    assert found.reference == len(store) - len(names)
    assert not found.drifted  # with twins left in, it would be
    assert any("show parts of this batch" in one.en for one in found.remarks)


def test_a_saved_summary_is_told_of(store: EmbeddingStore, tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as own:
        own.summarize("sub-prototypes", name="four", k=2)
        found = find_drift(own, planted.fresh(8), against="four")
        assert found.summary == "four"
        assert [row.name for row in found.prototypes] == ["crack 1", "crack 2", "good 1", "good 2"]
        assert (
            sum(row.pictures for row in found.prototypes) == found.pictures == sum(row.pictures for row in found.labels)
        )
        with pytest.raises(SummaryError, match="no summary 'five'"):
            find_drift(own, planted.fresh(8), against="five")


def test_without_labels_and_groups_it_says_so(tmp_path: Path) -> None:
    count = len(planted.parts(planted.STORE_PARTS, 0)[1])
    with planted.make(tmp_path / "bare", labels=[None] * count, groups=[None] * count) as bare:
        found = find_drift(bare, planted.batch(planted.fresh(9).vectors, [None] * len(planted.fresh(9))))
    assert [row.label for row in found.labels] == [""]
    assert not found.parts_known
    assert sum("group" in one.en for one in found.remarks) == 2


def test_a_report_is_plain(store: EmbeddingStore, usual: Reference) -> None:
    import json

    found: DriftReport = find_drift(store, planted.fresh(1, 2), reference=usual)
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["kind"] == found.kind


@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.6, -1, float("nan")])
def test_a_rate_out_of_range_is_refused(store: EmbeddingStore, rate: float) -> None:
    with pytest.raises(SettingsError, match="false-alarm rate"):
        find_drift(store, planted.fresh(), false_alarms=rate)


def test_what_can_not_be_compared_is_refused(store: EmbeddingStore) -> None:
    everything = from_store(store, store)
    with pytest.raises(SettingsError, match="0 parts to compare with, for the batch shows the same parts as"):
        find_drift(store, everything)
    with pytest.raises(SettingsError, match="1 to 2,000"):
        find_drift(store, planted.batch(np.ones((2001, planted.DIM)), [None] * 2001))
    with pytest.raises(SettingsError, match="can't be listed"):
        find_drift(store, planted.fresh(), top=-1)


@pytest.mark.parametrize(("of_batch", "known"), [(3, False), (2, True)])
def test_one_picture_of_the_reference_has_no_spread_to_compare_with(of_batch: int, known: bool) -> None:
    """Of four parts of one picture three are the batch's, or two; each draw takes as many."""
    vectors = unit_length(np.random.default_rng(3).normal(size=(4, 6)).astype(np.float32))
    pool: Any = SimpleNamespace(labels=np.zeros(4, np.int64), parts=np.arange(4), vectors=vectors)
    masks = np.array([[one in taken for one in range(4)] for taken in combinations(range(4), of_batch)])
    found = Comparison.moved(cast("Any", SimpleNamespace(pool=pool, masks=masks)), 0)
    assert found is not None
    assert (found.spread is not None, found.usual_spread is not None) == (known, known)
    if known:
        own, theirs = (np.sqrt(1 - np.square(one.mean(axis=0)).sum()) for one in (vectors[:2], vectors[2:]))
        assert found.spread == pytest.approx(own / theirs, rel=1e-4)


def test_namesakes_in_the_store_are_looked_up_together(
    store: EmbeddingStore, usual: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, each of them would be compared with all ids of the store."""
    batch, asked, find = planted.fresh(), list[int](), Snapshot.find

    def counted(self: Snapshot, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        asked.append(len(ids))
        return find(self, ids)

    monkeypatch.setattr(Snapshot, "find", counted)
    find_drift(store, batch, reference=usual)
    assert asked == [len(batch)]
