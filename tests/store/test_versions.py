"""History: every version that was made reads as it was, until a compaction that says so; against plain dictionaries."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import CountingTeacher, snapshot, store_of, unit_vectors, write_pictures

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import StoreError, SummaryError
from embedstore.store import compaction, row_stream
from embedstore.store.changes import StoreWriter

DIM, VIEWS = 3, 2
NAMES = ("label", "mode", "group", "split", "line", "欠陥")
TEXTS = (None, "train", "val")  # fit for a split too


# Against plain dictionaries


@dataclass(frozen=True)
class Known:
    """One sample as it should be read: the row it is in, its texts, its vectors (VIEWS, DIM)."""

    row: int
    texts: dict[str, str | None]
    vectors: npt.NDArray[np.float16]


Samples = dict[str, Known]


@dataclass
class Oracle:
    """What a store should hold; samples stand in the order of their rows."""

    versions: dict[int, Samples] = field(default_factory=lambda: {0: {}})
    actions: list[str] = field(default_factory=lambda: ["create"])
    tags: dict[str, int] = field(default_factory=dict)
    readable: set[int] = field(default_factory=lambda: {0})
    rows: int = 0  # that are stored, of use or not
    made: int = 0  # that were ever made, so that each has a number of its own

    @property
    def newest(self) -> int:
        return len(self.actions) - 1

    def kept(self, *, before: bool) -> set[int]:
        return {self.newest, *self.tags.values(), *({self.newest - 1} & self.readable if before else ())}

    def used(self, *, before: bool) -> int:
        kept = self.kept(before=before)
        return len({sample.row for version in kept for sample in self.versions[version].values()})

    def changed_by(self, name: str, field: str) -> int:
        """Return which version gave a sample the text that it has; of those that are left, the first that has it."""
        row = self.versions[self.newest][name].row
        had = [(number, own[name]) for number, own in self.versions.items() if name in own and own[name].row == row]
        left = [(0, None), *((number, known.texts[field]) for number, known in had if number in self.readable)]
        return max(had[0][0], *(number for (_, before), (number, after) in pairwise(left) if after != before), 0)

    def add_version(self, action: str, samples: Samples) -> None:
        self.actions.append(action)
        self.versions[self.newest] = samples
        self.readable.add(self.newest)

    def compact(self, *, before: bool = False) -> None:
        self.rows = self.used(before=before)
        self.readable = self.kept(before=before)

    def compact_if_wasteful(self) -> None:
        if self.rows >= 8 and 1 - self.used(before=True) / self.rows > compaction.WASTE:
            self.compact(before=True)


class Changes:
    """Random changes, tags and compactions, each also done to dictionaries."""

    def __init__(self, path: Path, seed: int):
        self.path = path
        self.random = np.random.default_rng(seed)
        self.store = embedstore.create(path, teacher="model", dim=DIM)
        self.oracle = Oracle()

    def step(self) -> None:
        """Do something, and look whether the newest version, an early one and the log are right."""
        actions = (self.change, self.tag, self.delete_tag, self.compact)
        actions[self.random.choice(4, p=[0.6, 0.2, 0.1, 0.1])]()
        assert self.store.version == self.oracle.newest
        self.check_samples(self.store, self.oracle.versions[self.oracle.newest])
        some = self.random.permutation(self.store.ids)[:5].tolist()
        for name in NAMES:
            assert self.store.changed_by(some, name) == [self.oracle.changed_by(one, name) for one in some]
        self.check_version(int(self.random.choice(list(self.oracle.versions))))
        assert self.store.row_total == self.oracle.rows
        assert self.store.tags == self.oracle.tags
        assert [(one.number, one.action, one.readable, set(one.tags)) for one in self.store.log()] == [
            (number, action, number in self.oracle.readable, {n for n, v in self.oracle.tags.items() if v == number})
            for number, action in enumerate(self.oracle.actions)
        ]
        assert len(list((self.path / "generations").iterdir())) == 1

    def change(self) -> None:
        """Delete some, set fields of others, replace others, add new ones: all in one version, or nothing."""
        before = self.oracle.versions[self.oracle.newest]
        after = dict(before)
        names = list(before)
        self.random.shuffle(names)
        cuts = np.sort(self.random.integers(0, min(len(names), 6) + 1, 3))
        deleted, changed, replaced = names[: cuts[0]], names[cuts[0] : cuts[1]], names[cuts[1] : cuts[2]]
        if self.random.random() < 0.15:
            deleted, changed, replaced = names, [], []
        many = int(self.random.choice([0, 1, 2, 5, 300], p=[0.4, 0.2, 0.2, 0.15, 0.05]))
        fresh = [f"sample {self.oracle.made + number}" for number in range(many)]
        fails = self.random.random() < 0.2
        updated, rows = 0, self.oracle.rows
        try:
            with self.store.write("change") as writer:
                assert writer.delete(deleted) == len(deleted)
                for name in deleted:
                    del after[name]
                updated = self.set_texts(writer, before, after, changed)
                self.add(writer, after, replaced, replace=True)
                self.add(writer, after, fresh, replace=False)
                if fails:
                    raise RuntimeError("stop")
        except RuntimeError:
            if row_stream._MOST_BYTES > 1:
                self.oracle.rows = rows  # so few never left memory
            return
        counts = {"removed": len(deleted), "changed": len(replaced), "new": len(fresh), "updated": updated}
        if any(counts.values()):
            self.oracle.add_version("change", after)
            assert dict(self.store.log()[-1].details) == {what: count for what, count in counts.items() if count}
        self.oracle.compact_if_wasteful()

    def set_texts(self, writer: StoreWriter, before: Samples, after: Samples, changed: list[str]) -> int:
        updated = 0
        for one in self.random.permutation(NAMES)[:2].tolist():
            texts = {name: TEXTS[self.random.integers(3)] for name in changed}
            differ = [name for name in changed if before[name].texts[one] != texts[name]]
            assert writer.set(one, texts) == len(differ)
            updated += len(differ)
            for name in changed:
                after[name] = replace(after[name], texts={**after[name].texts, one: texts[name]})
        return updated

    def add(self, writer: StoreWriter, after: Samples, names: list[str], *, replace: bool) -> None:
        vectors = self.random.normal(size=(VIEWS, len(names), DIM)).astype(np.float16)
        given = {one: [TEXTS[at] for at in self.random.integers(0, 3, len(names))] for one in NAMES[::2]}
        labels, groups, attributes = given["label"], given["group"], {"line": given["line"]}
        writer.add(names, vectors, labels=labels, groups=groups, attributes=attributes, replace=replace)
        for at, name in enumerate(names):
            kept = after.pop(name).texts if replace else dict.fromkeys(NAMES)
            texts = {**kept, **{one: values[at] for one, values in given.items()}}
            after[name] = Known(self.oracle.made, texts, vectors[:, at])
            self.oracle.made += 1
            self.oracle.rows += 1

    def tag(self) -> None:
        name = str(self.random.choice(["first", "部品", "<b>"]))
        version = int(self.random.choice(list(self.oracle.versions)))
        if name in self.oracle.tags or version not in self.oracle.readable:
            with pytest.raises(StoreError, match=r"already; delete it first|was removed by a compaction"):
                self.store.tag(name, version)
        else:
            assert self.store.tag(name, version) == version
            self.oracle.tags[name] = version

    def delete_tag(self) -> None:
        if self.oracle.tags:
            name = str(self.random.choice(list(self.oracle.tags)))
            self.store.delete_tag(name)
            del self.oracle.tags[name]

    def compact(self) -> None:
        report = self.store.compact()
        before = self.oracle.rows
        self.oracle.compact()
        assert (report.rows_before, report.rows) == (before, self.oracle.rows)
        assert set(report.kept) == self.oracle.readable
        assert report.removed == len(self.oracle.versions) - len(self.oracle.readable)

    def check_version(self, version: int) -> None:
        if version not in self.oracle.readable:
            with pytest.raises(
                StoreError, match=f"Version {version} was removed by a compaction; of the versions before"
            ):
                embedstore.open(self.path, version)
            return
        tags = [name for name, number in self.oracle.tags.items() if number == version]
        for asked in (version, *tags):
            with embedstore.open(self.path, asked) as store:
                assert store.version == version
                self.check_samples(store, self.oracle.versions[version])

    def check_samples(self, store: EmbeddingStore, expected: Samples) -> None:
        assert len(store) == len(expected)
        assert store.ids == list(expected)
        for name in NAMES:
            texts = [known.texts[name] for known in expected.values()]
            if any(texts) or name in NAMES[:4]:
                assert store.field(name) == texts
        if expected:
            for view in range(VIEWS):
                vectors = np.stack([known.vectors[view] for known in expected.values()])
                np.testing.assert_array_equal(store.vectors(view=view), vectors.astype(np.float32))
            known = expected[store.ids[-1]]
            sample = store.sample(store.ids[-1])
            assert (sample.label, sample.mode, sample.group, sample.split) == tuple(known.texts[n] for n in NAMES[:4])
            assert dict(sample.attributes) == {n: text for n in NAMES[4:] if (text := known.texts[n]) is not None}


@pytest.mark.parametrize("seed", range(5))
def test_all_versions_read_as_plain_dictionaries_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(compaction, "_SMALLEST", 8)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # which no reader here can notice
    if seed % 2:
        monkeypatch.setattr(
            row_stream, "_MOST_BYTES", 1
        )  # rows are written at once, before it is clear that all ends well
    changes = Changes(tmp_path / "s", seed)
    with changes.store:
        for _ in range(50):
            changes.step()
        for version in changes.oracle.versions:
            changes.check_version(version)


# The log


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    """Forty samples of two labels at version 1, then two changes."""
    with store_of(tmp_path / "s", unit_vectors(0, 40), labels=["good", "crack"] * 20) as made:
        with made.write("relabel") as writer:
            writer.set("label", {"sample 00000": "pore"})
        with made.write("delete") as writer:
            writer.delete(["sample 00001", "sample 00002"])
        yield made


def test_the_log_tells_when_by_what_and_how_much(store: EmbeddingStore) -> None:
    start = datetime.now(UTC).replace(microsecond=0)
    store.split()
    store.set_groups({"sample 00005": "part"})
    store.tag("before", 2)
    store.tag("also", 2)
    log = store.log()
    assert [(one.number, one.action, dict(one.details), one.tags, one.readable) for one in log] == [
        (0, "create", {}, (), True),
        (1, "build", {}, (), True),
        (2, "relabel", {"updated": 1}, ("also", "before"), True),
        (3, "delete", {"removed": 2}, (), True),
        (4, "split", {"updated": 38}, (), True),
        (5, "groups", {"updated": 1}, (), True),
    ]
    times = [datetime.fromisoformat(one.time) for one in log]
    assert times == sorted(times)
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert start <= times[-1] <= datetime.now(UTC)


def test_a_build_says_what_it_did(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", [f"good/{number}.png" for number in range(4)])

    def build(**options: Any) -> None:
        embedstore.build(tmp_path / "s", tmp_path / "images", teacher=CountingTeacher(), **options)

    build(views=1)
    write_pictures(tmp_path / "images", ["good/0.png", "good/1.png", "crack/0.png"], seed=1)
    os.remove(tmp_path / "images" / "good" / "3.png")
    build(prune=True)
    build(views=3)  # more views are no new version
    build()
    with embedstore.open(tmp_path / "s") as opened:
        assert [(one.action, dict(one.details)) for one in opened.log()] == [
            ("create", {}), ("build", {"new": 4}), ("build", {"changed": 2, "new": 1, "removed": 1}),
        ]  # fmt: skip
        assert opened.views == 3
    with embedstore.open(tmp_path / "s", version=1) as first:
        assert (first.views, first.ids) == (1, [f"good/{number}.png" for number in range(4)])
        assert first.vectors(view=1).shape == (4, 12)
        with pytest.raises(StoreError, match="no view 2"):
            first.vectors(view=2)


# Tags


@pytest.mark.parametrize("name", ["", "7", "-7", "12345", "a\nb", "\x1b[31m", "a\u202eb", "x" * 101, "\u0664"])
def test_a_name_that_would_mislead_is_no_tag(store: EmbeddingStore, name: str) -> None:
    with pytest.raises(StoreError, match=r"can't be a tag; give up to 100 visible characters that are not only digits"):
        store.tag(name)
    assert store.tags == {}


@pytest.mark.parametrize("name", ["v1", "before twins", "<b>部品</b>", "1.0", "x" * 100])
def test_a_tag_opens_its_version(store: EmbeddingStore, name: str) -> None:
    assert store.tag(name, 1) == 1
    assert store.tag("newest") == 3
    assert store.tags == {name: 1, "newest": 3}
    with embedstore.open(store.path, version=name) as opened:
        assert (opened.version, len(opened), opened.labels[0]) == (1, 40, "good")
    with pytest.raises(StoreError, match=f"tag '{re.escape(name)}' names version 1 already; delete it first"):
        store.tag(name, 2)
    store.delete_tag(name)
    assert store.tags == {"newest": 3}
    with pytest.raises(StoreError, match=r"has no tag '.*' \(it has: newest\)"):
        store.delete_tag(name)
    with pytest.raises(StoreError, match=r"no tag '.*' \(it has: newest\)"):
        embedstore.open(store.path, version=name)


@pytest.mark.parametrize("version", [4, -1, 10**15, 2**70])
def test_a_version_that_never_was_is_told(store: EmbeddingStore, version: int) -> None:
    for attempt in (lambda: embedstore.open(store.path, version=version), lambda: store.tag("x", version)):
        with pytest.raises(StoreError, match=f"has no version {version}; it has 0 to 3"):
            attempt()


@pytest.mark.parametrize("version", [1.0, True, b"1"])
def test_what_is_no_number_and_no_tag_is_told(store: EmbeddingStore, version: Any) -> None:
    with pytest.raises(StoreError, match=f"^The version is {re.escape(repr(version))}; give its number"):
        embedstore.open(store.path, version)


def test_a_number_from_numpy_is_a_number(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, np.int64(1)) as opened:
        assert (opened.version, len(opened)) == (1, 40)
    assert store.tag("first", np.int32(1)) == store.tags["first"] == 1


def test_a_tag_from_a_store_opened_at_a_version_names_that_version(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, version=1) as pinned:
        assert (pinned.tag("here"), pinned.tag("there", 2)) == (1, 2)
    assert store.tag("newest") == 3
    assert store.tags == {"here": 1, "newest": 3, "there": 2}


def test_no_summary_is_saved_of_a_version_that_a_compaction_has_removed(store: EmbeddingStore) -> None:
    with embedstore.open(store.path) as behind:
        with store.write() as writer:
            writer.delete(["sample 00010"])
        store.compact()
        with pytest.raises(
            SummaryError, match=r"of version 3, which was removed .*; open the store again and summarise"
        ):
            behind.summarize("class-mean", name="means")
        assert behind.summarize("class-mean").store_version == 3
    assert store.summary_names == []


def test_a_tag_makes_no_version_and_an_open_store_sees_it(store: EmbeddingStore) -> None:
    with embedstore.open(store.path) as other:
        store.tag("x")
        assert (other.version, other.tags) == (3, {"x": 3})


# A store opened at a version


def test_an_early_version_stays_as_it_is_whatever_is_written(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, version=1) as pinned:
        before = snapshot(pinned)
        with store.write() as writer:
            writer.delete(["sample 00007"])
            writer.set("label", {"sample 00008": "x"})
            writer.add(["sample 00009", "new"], unit_vectors(3, 2), labels=["y", "z"], replace=True)
        assert snapshot(pinned) == before
        pinned.refresh()
        assert snapshot(pinned) == before
        assert pinned.labels == ["good", "crack"] * 20
        assert pinned.search(unit_vectors(0, 40)[7].astype(np.float32), top=1)[0][0].id == "sample 00007"
        assert pinned.sample("sample 00001").label == "crack"
        assert pinned.where({"label": "good"}).sum() == 20
    assert "sample 00007" not in store.ids


def test_version_0_is_the_empty_store(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, version=0) as opened:
        assert (opened.version, len(opened), opened.ids, opened.views) == (0, 0, [], 0)


def test_a_tag_that_moved_is_followed_when_the_store_is_looked_at_anew(store: EmbeddingStore) -> None:
    store.tag("line 3", 1)
    with embedstore.open(store.path, version="line 3") as opened:
        store.delete_tag("line 3")
        store.tag("line 3", 3)
        assert len(opened) == 40
        opened.refresh()
        assert (opened.version, len(opened)) == (3, 38)


def test_all_that_writes_is_refused_at_an_early_version(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, version=1) as pinned:
        attempts: list[Callable[[], object]] = [
            pinned.split,
            lambda: pinned.set_groups({"sample 00000": "part"}),
            pinned.compact,
        ]
        for attempt in attempts:
            with pytest.raises(StoreError, match="opened at version 1, which never changes; open it without a version"):
                attempt()
    assert store.version == 3
    assert len(store.log()) == 4


def test_what_changed_since_a_version(store: EmbeddingStore) -> None:
    with store.write() as writer:
        writer.set("mode", {"sample 00010": "deep"})  # no other picture, no other label
        writer.add(["sample 00011", "new"], unit_vectors(3, 2), replace=True)
    assert store.changed_since(1) == {"sample 00000", "sample 00011"}
    assert store.changed_since(2) == {"sample 00011"}
    assert store.changed_since(4) == set()
