"""Updates against oracles: the summary made anew, what may be read, and that order decides nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import text_vectors, training_of
from toy_updates import LIMIT, PARAMETERS, blobs, change, make, renewed, saved, summary_of

from embedstore import EmbeddingStore, Summary
from embedstore.summaries import BY_LABEL, STRATEGIES, UPDATES, TrainingVectors, nearness
from embedstore.summaries.updating import Lineage
from embedstore.vectors import unit_length

every_update = pytest.mark.parametrize("strategy", UPDATES)


def said_of(summary: Summary) -> dict[str, Any]:
    """Return all that a summary says, by id instead of by position."""
    return {
        "vectors": [(label, vector.tobytes()) for label, vector in zip(summary.labels, summary.vectors, strict=True)],
        "counts": summary.counts.tolist(),
        "radius": summary.radius.tolist(),
        "centre": summary.centre.tobytes(),
        "source": [summary.seen[at] if at >= 0 else None for at in summary.source],
        "serving": dict(zip(summary.seen, summary.serving.tolist(), strict=True)),
        "loss": dict(summary.averaging_loss),
        "remarks": summary.remarks,
        "fitted": {one for one, made in zip(summary.seen, summary.fitted, strict=True) if made},
    }


def losses_by_hand(store: EmbeddingStore, summary: Summary) -> dict[str, float]:
    """Return each label's mean distance from a sample to what speaks for it."""
    away = unit_length(store.vectors(summary.seen)).astype(np.float64)
    distance = np.linalg.norm(away - unit_length(summary.vectors)[summary.serving[:, 0]], axis=1)
    labels = np.array([store.sample(one).label for one in summary.seen])
    return {label: float(distance[labels == label].mean()) for label in set(labels.tolist())}


@pytest.fixture(autouse=True)
def texts_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingStore, "embed_text", lambda store, texts: text_vectors(texts, store.dim))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_updated_summary_is_whole_and_says_the_truth(strategy: str, tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        change(store)
        renewal = renewed(store, data)
        summary, anew = summary_of(renewal), store.summarize(strategy, **PARAMETERS.get(strategy, {}))
        assert (
            Lineage.read(renewal.data)[0].to_bytes() == summary.to_bytes()
        )  # what is read again is checked in all parts
        assert summary.seen == anew.seen
        assert (renewal.came, renewal.left) == (9, 7)
        assert summary.counts.tolist() == np.bincount(summary.serving[:, 0], minlength=len(summary.labels)).tolist()
        np.testing.assert_allclose(summary.centre, anew.centre, rtol=0, atol=1e-7)
        own = {store.sample(one).label for one in summary.seen}
        assert own == {summary.labels[at] for at in summary.serving.ravel()}
        if strategy != "compressed-own":
            expected = losses_by_hand(store, summary)
            assert {one: loss.mean for one, loss in summary.averaging_loss.items()} == pytest.approx(expected, abs=1e-6)
        near = [loss.near for loss in anew.averaging_loss.values()]
        assert [loss.near for loss in summary.averaging_loss.values()] == pytest.approx(near, abs=1e-9)
        for at in np.flatnonzero(summary.source >= 0):
            wanted = store.vectors([summary.seen[summary.source[at]]])[0]
            assert summary.vectors[at].tobytes() == wanted.tobytes()


def test_class_means_are_those_made_anew(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean")
        change(store)
        summary, anew = summary_of(renewed(store, data)), store.summarize("class-mean")
        assert summary.labels == anew.labels == ["common", "other"]
        np.testing.assert_allclose(summary.vectors, anew.vectors, rtol=0, atol=6e-8)  # a step of float32 below 1
        assert summary.vectors[1].tobytes() == anew.vectors[1].tobytes()  # nothing came or left
        assert summary.serving.tolist() == anew.serving.tolist()


def test_a_hundred_updates_do_not_lead_a_mean_astray(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean")
        for step in range(100):
            with store.write() as writing:
                name = f"sample {1 + 3 * (step % 7):05d}"
                writing.add([name], np.stack([blobs(step, 1), blobs(step, 1)]), replace=True)
            renewal = renewed(store, data)
            data = renewal.data
        anew = store.summarize("class-mean")
        np.testing.assert_allclose(summary_of(renewal).vectors, anew.vectors, rtol=0, atol=5e-7)


def test_the_draw_of_class_means_is_that_made_anew(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean", per_class=9)
        change(store)
        summary, anew = summary_of(renewed(store, data)), store.summarize("class-mean", per_class=9)
        assert summary.fitted.tolist() == anew.fitted.tolist()
        assert summary.fitted.sum() == 18
        np.testing.assert_allclose(summary.vectors, anew.vectors, rtol=0, atol=2e-7)


def test_drawn_samples_are_those_made_anew_to_the_last_bit(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "random-samples")
        change(store)
        summary, anew = (
            summary_of(renewed(store, data)),
            store.summarize("random-samples", **PARAMETERS["random-samples"]),
        )
        assert summary.vectors.tobytes() == anew.vectors.tobytes()
        assert summary.source.tolist() == anew.source.tolist()


@pytest.mark.parametrize("strategy", ["sub-prototypes", "medoids", "rare-samples"])
def test_clusters_hide_no_more_than_the_limit_beyond_those_made_anew(strategy: str, tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        change(store)
        renewal = renewed(store, data)
        anew = store.summarize(strategy, **PARAMETERS[strategy])
        assert renewal.again == ()
        for label, loss in summary_of(renewal).averaging_loss.items():
            assert loss.mean <= anew.averaging_loss[label].mean * (1 + LIMIT)


@every_update
def test_neither_the_order_of_rows_nor_of_changes_decides_anything(strategy: str, tmp_path: Path) -> None:
    found = []
    for number in range(2):
        order = None if number == 0 else np.random.default_rng(3).permutation(120)
        with make(tmp_path / str(number), order) as store:
            data = saved(store, strategy)
            with store.write() as writing:
                names = [f"new {one}" for one in (range(6) if number == 0 else range(5, -1, -1))]
                vectors = {f"new {one}": blobs(one, 2) for one in range(6)}
                writing.add(
                    names, np.stack([[vectors[one][view] for one in names] for view in (0, 1)]), labels=["other"] * 6
                )
                writing.delete(["sample 00003", "sample 00010"])
            said = said_of(summary_of(renewed(store, data)))
            found.append(said)
    assert found[0] == found[1]


@pytest.mark.parametrize("strategy", BY_LABEL)
def test_a_label_that_nothing_touched_stays_to_the_last_bit(strategy: str, tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        before = Summary.from_bytes(data)
        change(store)
        renewal = renewed(store, data)
        after = summary_of(renewal)
        assert {*renewal.updated, *renewal.again} == {"common"}
        was, now = (np.array(one.labels) == "other" for one in (before, after))
        assert after.vectors[now].tobytes() == before.vectors[was].tobytes()
        assert after.radius[now].tobytes() == before.radius[was].tobytes()
        assert after.averaging_loss["other"] == before.averaging_loss["other"]
        assert after.counts[now].tolist() == before.counts[was].tolist()


@pytest.mark.parametrize("strategy", ["class-mean", "sub-prototypes"])
def test_moving_means_reads_nothing_that_did_not_change(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where samples only came, the update itself reads those and no other; what the summary hides is measured after it."""
    read: list[str] = []
    original = UPDATES[strategy]

    def watched(changed: Any, seed: int, **parameters: Any) -> Any:
        def reading(at: npt.NDArray[np.int64]) -> Any:
            read.extend(changed.training.ids[int(one)] for one in at)
            return changed.training.read(at)

        return original(replace(changed, training=replace(changed.training, read=reading)), seed, **parameters)

    monkeypatch.setitem(UPDATES, strategy, watched)
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        with store.write() as writing:
            writing.add(["a", "b"], np.stack([blobs(5, 2), blobs(6, 2)]), labels=["common", "other"])
        renewed(store, data)
    assert set(read) == {"a", "b"}


@every_update
@pytest.mark.parametrize("centres", [range(4), [5]])
def test_the_nearest_prototype_speaks_for_each_plain_picture_and_for_all_views_of_who_came_or_changed_over(
    strategy: str, centres: list[int], tmp_path: Path
) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        before = Summary.from_bytes(data)
        known = {(one.id, row) for one, row in zip(store.samples, store.rows.tolist(), strict=True)}
        change(store, centres=centres)
        renewal = renewed(store, data, limit=10.0)
        after = summary_of(renewal)
        assert renewal.again == ()
        came = np.array(
            [(one.id, row) not in known for one, row in zip(store.samples, store.rows.tolist(), strict=True)]
        )
        assert came.sum() == 9
        kept = dict(zip(before.seen, before.vectors[before.serving[:, 0]], strict=True))
        served_by = after.vectors[after.serving[:, 0]]
        strays = np.array(
            [one in kept and (kept[one] != now).any() for one, now in zip(after.seen, served_by, strict=True)]
        )
        assert strays.any() or strategy != "random-samples"
        assert [one.id for one in store.samples] == after.seen
        other_label = np.array(store.labels)[:, None] != np.array(after.labels)[None]
        for view in (0, 1):
            vectors = unit_length(store.vectors(view=view)).astype(np.float64)
            apart = np.linalg.norm(vectors[:, None] - unit_length(after.vectors)[None], axis=2)
            apart[other_label] = np.inf
            served, least = apart[np.arange(len(apart)), after.serving[:, view]], apart.min(axis=1)
            asked = slice(None) if view == 0 else came | strays if strategy == "random-samples" else came
            np.testing.assert_allclose(served[asked], least[asked], rtol=0, atol=1e-6)


def test_near_after_any_changes_is_that_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "MOST_QUERIES", 30)  # of the 40 and 80 samples of a label
    random = np.random.default_rng(5)
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean")
        for step in range(12):
            with store.write() as writing:
                chosen = random.choice(store.ids, 8, replace=False).tolist()
                writing.delete(chosen[:3])
                writing.add(chosen[3:6], np.stack([blobs(step, 3), blobs(step, 3)]), replace=True)
                names = [f"new {step} {number}" for number in range(3)]
                twin = np.stack([blobs(step + 99, 3), blobs(step, 3)])
                writing.add(names, twin, labels=["common", "other", "other"], groups=["part 1", None, "part 5"])
                if step % 4 == 3:
                    writing.set("label", {chosen[6]: "other", chosen[7]: "common"})
                    writing.set("group", {chosen[7]: "part 2"})
            data = renewed(store, data).data
            summary, lineage = Lineage.read(data)
            training = TrainingVectors.from_store(store, store.positions(summary.seen))
            for label, members in training.members.items():
                anew = nearness.nearest(training, members)
                own = np.isin(lineage.nearest.queries, members)
                assert sorted(lineage.nearest.queries[own]) == sorted(anew.queries)
                found = dict(zip(lineage.nearest.queries[own], lineage.nearest.distances[own], strict=True))
                np.testing.assert_allclose([found[at] for at in anew.queries], anew.distances, rtol=0, atol=1e-9)
                assert summary.averaging_loss[label].near == pytest.approx(anew.near, abs=1e-9)


def test_near_looks_again_only_at_what_changed(tmp_path: Path) -> None:
    vectors = blobs(3, 100)
    training = training_of(vectors, ["a"] * 100)
    members, came = np.arange(100), np.arange(98, 100)
    first = nearness.nearest(training_of(vectors[:98], ["a"] * 98), np.arange(98))
    read: list[int] = []

    def reading(at: npt.NDArray[np.int64]) -> Any:
        read.append(len(at))
        return training.read(at)

    after = nearness.nearest_after(replace(training, read=reading), members, first, came)
    anew = nearness.nearest(training, members)
    np.testing.assert_allclose(after.distances, anew.distances, rtol=0, atol=1e-9)
    assert after.neighbours.tolist() == anew.neighbours.tolist()
    assert read == [2, 100, 98, 2]  # two new ones against all, all others against those two
