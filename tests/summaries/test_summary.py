"""Summary: what it says of a store, in numbers and in words, and how it leaves the store and comes back."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of
from safetensors.numpy import load

from embedstore import EmbeddingStore, Summary
from embedstore.errors import SummaryError
from embedstore.summaries import summarize
from embedstore.summaries.nearness import near_distances
from embedstore.summaries.strategy import TrainingVectors
from embedstore.vectors import unit_length

COUNT = 400
# Loose clouds, so that of each label some samples lie nearer to the mean than to another part, and some farther.
VECTORS = unit_length(np.random.default_rng(1).normal(size=(COUNT, 14)) + 0.9).astype(np.float16)
IDS = [f"部品/{number:04d} 'ü' 😀.png" for number in range(COUNT)]
LABELS: list[str | None] = [("good", "crack", "欠け", None)[number % 4] for number in range(COUNT)]
LABELS[10] = "one"
MODES = [("thin", "wide", None)[number % 3] for number in range(COUNT)]
GROUPS = [f"part {number // 8}" for number in range(COUNT)]
SPLITS = ["train" if number // 8 % 3 else "test" for number in range(COUNT)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    path = tmp_path_factory.mktemp("summary") / "store"
    with store_of(path, VECTORS, ids=IDS, labels=LABELS, modes=MODES, groups=GROUPS, splits=SPLITS) as opened:
        yield opened


@pytest.fixture
def summary(store: EmbeddingStore) -> Summary:
    return store.summarize("class-mean", split="train", seed=4, per_class=20)


def seen_of(label: str) -> list[int]:
    return [at for at in range(COUNT) if LABELS[at] == label and SPLITS[at] == "train"]


# What it says


def test_a_summary_knows_what_made_it(store: EmbeddingStore, summary: Summary) -> None:
    assert (summary.name, summary.strategy, summary.parameters) == (
        "class-mean",
        "class-mean",
        {"per_class": 20},
    )
    assert (summary.seed, summary.split, summary.store_version) == (4, "train", 1)
    assert summary.fingerprint == store.fingerprint
    assert summary.labels == ["crack", "good", "one", "欠け"]


def test_it_saw_the_labelled_samples_of_its_split_and_no_others(store: EmbeddingStore, summary: Summary) -> None:
    assert summary.seen == [IDS[at] for at in range(COUNT) if SPLITS[at] == "train" and LABELS[at] is not None]
    everything = store.summarize("class-mean")
    assert everything.split is None
    assert everything.seen == [IDS[at] for at in range(COUNT) if LABELS[at] is not None]


def test_counts_members_and_radius_are_those_of_the_label(summary: Summary) -> None:
    for k, label in enumerate(summary.labels):
        members = seen_of(label)
        assert summary.members(k) == [IDS[at] for at in members]
        assert summary.counts[k] == len(members)
        distances = np.linalg.norm(
            unit_length(VECTORS[members]).astype(np.float64) - unit_length(summary.vectors)[k], axis=1
        )
        assert summary.radius[k] == pytest.approx(distances.max(), rel=1e-6)


def test_the_centre_is_the_mean_of_what_was_seen(summary: Summary) -> None:
    seen = [at for at in range(COUNT) if SPLITS[at] == "train" and LABELS[at] is not None]
    assert summary.centre == pytest.approx(VECTORS[seen].astype(np.float64).mean(0), abs=1e-7)


def test_what_it_hides_is_what_brute_force_finds(store: EmbeddingStore, summary: Summary) -> None:
    seen = np.array([at for at in range(COUNT) if SPLITS[at] == "train" and LABELS[at] is not None])
    near = near_distances(TrainingVectors.from_store(store, seen))
    assert list(summary.averaging_loss) == ["crack", "good", "one", "欠け"]
    for k, label in enumerate(summary.labels):
        members = seen_of(label)
        distances = {
            at: float(np.linalg.norm(unit_length(VECTORS[at]).astype(np.float64) - unit_length(summary.vectors[k])))
            for at in members
        }
        loss = summary.averaging_loss[label]
        worst = max(members, key=distances.__getitem__)
        assert (loss.label, loss.count, loss.near, loss.worst_id) == (label, len(members), near[label], IDS[worst])
        assert loss.mean == pytest.approx(np.mean(list(distances.values())), abs=1e-12)
        assert loss.p95 == pytest.approx(np.percentile(list(distances.values()), 95), abs=1e-12)
        assert loss.worst == pytest.approx(distances[worst], abs=1e-12)
        limit = near[label]
        far = [at for at in members if limit is not None and distances[at] > limit]
        assert loss.far == len(far)
        assert loss.far_modes == Counter(mode for at in far if (mode := MODES[at]) is not None)
        assert list(loss.far_modes) == sorted(loss.far_modes)
        assert label == "one" or 0 < len(far) < len(members)
    assert summary.averaging_loss["one"].near is None


def test_one_sample_in_a_class_is_its_own_prototype_at_distance_0(summary: Summary) -> None:
    at = summary.labels.index("one")
    assert (summary.vectors[at] == VECTORS[10].astype(np.float32)).all()
    assert (summary.counts[at], summary.radius[at]) == (1, 0)
    loss = summary.averaging_loss["one"]
    assert (loss.count, loss.mean, loss.p95, loss.worst, loss.worst_id, loss.near) == (1, 0, 0, 0, IDS[10], None)


def test_of_equally_far_samples_the_first_by_id_is_the_worst(tmp_path: Path) -> None:
    vectors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float16)
    with store_of(tmp_path / "store", vectors, ids=["d", "b", "c", "a"], labels=["x"] * 4) as store:
        assert store.summarize("class-mean").averaging_loss["x"].worst_id == "a"


def test_positions_may_be_given_in_place_of_a_split(store: EmbeddingStore, summary: Summary) -> None:
    """As the distiller does for a split that is its own; labels that are missing are passed over."""
    positions = np.flatnonzero(store.where({"split": "train"}))
    same = summarize(store, "class-mean", positions=positions, split="train", seed=4, per_class=20)
    assert same.to_bytes() == summary.to_bytes()
    half = summarize(store, "class-mean", positions=positions[::2])
    assert half.seen == [IDS[at] for at in positions[::2] if LABELS[at] is not None]


# Which prototype serves which view


def test_each_view_is_served_by_the_nearest_prototype_of_its_label(tmp_path: Path) -> None:
    views = np.stack([VECTORS, np.roll(VECTORS, 1, axis=1), np.roll(VECTORS, 2, axis=1)])
    labels = [("good", "crack")[number % 2] for number in range(COUNT)]
    with store_of(tmp_path / "store", views, labels=labels, groups=GROUPS) as store:
        summary = store.summarize("sub-prototypes", k=5)
    assert (summary.views, summary.serving.shape) == (2, (COUNT, 3))
    directions = unit_length(summary.vectors).astype(np.float64)
    for view in range(3):
        for at in range(0, COUNT, 7):
            distances = np.linalg.norm(unit_length(views[view][at]).astype(np.float64) - directions, axis=1)
            distances[np.array(summary.labels) != labels[at]] = np.inf
            assert summary.serving[at, view] == distances.argmin()
    assert (summary.serving[:, 0] != summary.serving[:, 1]).any()


def test_parameters_that_were_not_given_are_written_down_too(store: EmbeddingStore) -> None:
    assert store.summarize("rare-samples", k=3).parameters == {"share": 0.1, "k": 3}


def test_a_parameter_of_another_strategy_is_refused(store: EmbeddingStore) -> None:
    with pytest.raises(SummaryError, match=r"^The strategy 'class-mean' takes no 'k'; it takes per_class\.$"):
        store.summarize("class-mean", k=3)


# Saved under a name


def test_a_deleted_summary_is_gone_and_its_name_free(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS[:8], labels=["a", "b"] * 4) as store:
        store.summarize("class-mean", name="one")
        store.summarize("class-mean", name="two")
        version = store.version
        store.delete_summary("one")
        assert (store.summary_names, store.version) == (["two"], version)
        with pytest.raises(SummaryError, match=r"has no summary 'one' \(it has: two\)\.$"):
            store.delete_summary("one")
        assert store.summarize("class-mean", name="one", seed=1).seed == 1


# Out of the store and back


def assert_equal(found: Summary, expected: Summary) -> None:
    for field in dataclasses.fields(Summary):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            assert (one.dtype, one.shape) == (other.dtype, other.shape), field.name
            assert one.tobytes() == other.tobytes(), field.name
        else:
            assert one == other, field.name


def test_a_summary_comes_back_as_it_was(summary: Summary) -> None:
    data = summary.to_bytes()
    assert_equal(Summary.from_bytes(data), summary)
    assert Summary.from_bytes(data).to_bytes() == data


def test_axes_come_back_and_are_counted_and_a_summary_without_has_no_trace_of_them(
    store: EmbeddingStore, summary: Summary
) -> None:
    told = store.summarize("class-distribution", split="train", rank=3)
    assert told.axes is not None
    assert told.axes.shape == (4, 3, 14)
    assert told.nbytes == 4 * (told.vectors.size + told.axes.size)
    data = told.to_bytes()
    assert_equal(Summary.from_bytes(data), told)
    assert Summary.from_bytes(data).to_bytes() == data
    assert load(data)["axes"].tobytes() == told.axes.tobytes()
    assert_equal(
        store.summarize("class-distribution", split="train", name="kept", rank=3),
        dataclasses.replace(told, name="kept"),
    )
    assert_equal(store.summary("kept"), dataclasses.replace(told, name="kept"))
    plain = load(summary.to_bytes())
    assert plain.keys() == load(data).keys() - {"axes"}
    assert summary.nbytes == 4 * summary.vectors.size


def test_axes_of_no_length_at_all_come_back(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS[:3], labels=["a", "b", "c"]) as store:
        made = store.summarize("class-distribution", name="alone")
        assert made.axes is not None
        assert made.axes.shape == (3, 0, 14)
        assert_equal(store.summary("alone"), made)


def test_losses_know_by_the_codes_whether_they_are_of_codes(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS[:40], labels=["a", "b"] * 20) as store:
        for strategy, coded in (("class-mean", False), ("compressed-own", True)):
            found = store.summarize(strategy, name=strategy)
            for one in (found, store.summary(strategy)):
                assert [loss.coded for loss in one.averaging_loss.values()] == [coded] * 2
            assert b"coded" not in found.to_bytes()


def test_a_summary_is_one_safetensors_file_whose_header_does_not_grow_with_the_ids(store: EmbeddingStore) -> None:
    large, small = store.summarize("class-mean"), summarize(store, "class-mean", positions=np.arange(12))
    sizes = [int.from_bytes(one.to_bytes()[:8], "little") for one in (large, small)]
    assert abs(sizes[0] - sizes[1]) < 300
    tensors = load(large.to_bytes())
    assert (tensors["vectors"] == large.vectors).all()
    assert bytes(tensors["ids"]).decode() == "".join(large.seen)


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 100, b"{}" * 50, (10).to_bytes(8, "little") + b"[1, 2, 3] " * 9])
def test_bytes_of_something_else_are_no_summary(data: bytes) -> None:
    with pytest.raises(SummaryError, match=r"^The bytes are no summary \(\w+\); make it again\.$"):
        Summary.from_bytes(data)


def test_a_summary_that_is_cut_off_is_refused(summary: Summary) -> None:
    data = summary.to_bytes()
    for size in [*range(0, len(data), 41), len(data) - 1]:
        with pytest.raises(SummaryError):
            Summary.from_bytes(data[:size])


def test_a_changed_byte_is_found_or_changes_nothing(summary: Summary) -> None:
    """Also in the vectors, which safetensors itself does not guard; spaces that pad the header say nothing."""
    data = summary.to_bytes()
    random = np.random.default_rng(0)
    found = 0
    for at in [*range(0, 200), *random.integers(0, len(data), 600)]:
        changed = bytearray(data)
        changed[at] ^= 1 << int(random.integers(8))
        try:
            came_back = Summary.from_bytes(bytes(changed))
        except SummaryError:
            found += 1
        else:
            assert_equal(came_back, summary)
    assert found > 700


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("name", "strategy", "fingerprint") for value in ([], 1, None, {"a": 1})),
        *((name, value) for name in ("seed", "store_version") for value in ("1", 1.5, None, True, [])),
        *(("parameters", value) for value in ([], "x", None)),
        *(("split", value) for value in ([], 0, {})),
        *(("labels", value) for value in ([1], [[]])),
    ],
)
def test_what_is_said_in_another_type_is_refused_under_a_right_checksum(
    summary: Summary, name: str, value: Any
) -> None:
    with pytest.raises(SummaryError, match="The bytes are no summary"):
        Summary.from_bytes(dataclasses.replace(summary, **{name: value}).to_bytes())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("label", "worst_id") for value in (1, [], None)),
        *((name, value) for name in ("count", "far") for value in ("1", 1.5, None, -1)),
        *((name, value) for name in ("mean", "p95", "worst", "near") for value in ("x", [], float("nan"))),
        *(
            (name, value)
            for name in ("modes", "far_modes")
            for value in ([], "x", None, {"unknown": "1"}, {"unknown": 1.5})
        ),
        ("far", 1_000_000),
        ("far_modes", {"unknown": 1}),
    ],
)
def test_a_loss_in_another_type_is_refused_under_a_right_checksum(summary: Summary, name: str, value: Any) -> None:
    losses = {key: dataclasses.replace(loss, **{name: value}) for key, loss in summary.averaging_loss.items()}
    with pytest.raises(SummaryError, match="The bytes are no summary"):
        Summary.from_bytes(dataclasses.replace(summary, averaging_loss=losses).to_bytes())


def test_another_format_is_refused(summary: Summary) -> None:
    data = summary.to_bytes()
    text = json.dumps({"format": 2})[1:-1]
    changed = data.replace(text.replace('"', '\\"').encode(), text.replace("2", "5").replace('"', '\\"').encode(), 1)
    assert changed != data
    with pytest.raises(SummaryError, match=r"^The summary has format 5, this program reads 2 to 4; make it again\.$"):
        Summary.from_bytes(changed)


# Refusals


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../x", "a\n", "x" * 101, "a'b", "😀"])
def test_a_name_that_can_not_be_a_file_name_is_refused(store: EmbeddingStore, name: str) -> None:
    with pytest.raises(SummaryError, match=r"can't be used; use up to 100 letters, digits, '-', '_' and '.'"):
        store.summarize("class-mean", name=name)
    assert name not in store.summary_names


def test_the_longest_name_in_any_letters_is_saved(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS[:4], labels=["a"] * 4) as store:
        for name in ("欠" * 100, "𠮷" * 100, "a-b_c.1"):
            store.summarize("class-mean", name=name)
            assert store.summary(name).name == name


def test_an_unknown_strategy_is_named_with_those_there_are(store: EmbeddingStore) -> None:
    with pytest.raises(SummaryError, match=r"^The strategy 'k-means' is unknown; use one of class-mean"):
        store.summarize("k-means")


def test_a_split_that_was_never_written_is_named_with_the_command(tmp_path: Path) -> None:
    with store_of(tmp_path / "store", VECTORS[:4], labels=["a"] * 4) as store:
        with pytest.raises(SummaryError) as caught:
            store.summarize("class-mean", split="train")
        assert str(caught.value) == (
            f"No sample of '{store.path}' is in the split 'train'; write a split first: embedstore split '{store.path}'"
        )
        with store.write() as writer:
            writer.set("split", dict(zip(store.ids, ["val", "train", "train", None], strict=True)))
        with pytest.raises(
            SummaryError, match=r"is in the split 'tain'; choose one that samples are in: train, val\.$"
        ):
            store.summarize("class-mean", split="tain")


def test_an_empty_store_has_nothing_to_summarise(tmp_path: Path) -> None:
    with (
        store_of(tmp_path / "store", np.zeros((0, 4))) as store,
        pytest.raises(SummaryError, match=r"No sample to summarise in .* has a label"),
    ):
        store.summarize("class-mean")
