"""What leaves a store comes back as it was, whatever the format; what can't be taken leaves nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, SourceError, StoreError, TeacherMismatchError
from embedstore.exports import EXPORTS, export
from embedstore.imports import IMPORTS, import_vectors, open_source
from embedstore.imports.source import BATCH

TEACHER = "open_clip:ViT-B-32/openai"
ODD = [
    "部品/傷 1.png", "a,b", 'say "no"', "two\nlines", "carriage\rreturn", "=cmd()", "+1", "-1", "@x", " blanks around ",
    "\x1b[31m", "<script>", "tab\there", "😀", "'", "0", "nan", "None", "zero\0byte", "\u202eright to left",
]  # fmt: skip
NAMES = ("二", 'say,\n"it"', "=1+1", "uri", "vector")  # of attributes


def filled(path: Path, count: int = len(ODD), dim: int = 3) -> EmbeddingStore:
    """Make a store whose texts are odd and partly missing, and whose vectors are of any length."""
    rng = np.random.default_rng(0)
    ids = [ODD[at] if at < len(ODD) else f"{ODD[at % len(ODD)]} {at}" for at in range(count)]
    texts: list[str | None] = [None if at % 3 == 0 else ODD[at % len(ODD)] for at in range(count)]
    store = embedstore.create(path, teacher=TEACHER, dim=dim)
    with store.write() as writer:
        writer.add(
            ids,
            (rng.normal(size=(count, dim)) * rng.uniform(0.01, 500, (count, 1))).astype(np.float16),
            labels=texts,
            modes=texts[::-1],
            groups=[None] * count,
            splits=[("train", "val", "test", "aside", None)[at % 5] for at in range(count)],
            uris=[f"folder/{name}" if at % 2 else name for at, name in enumerate(ids)],
            attributes={name: [text and f"{name}{text}" for text in texts] for name in NAMES},
        )
    return store


def contents(store: EmbeddingStore) -> tuple[Any, ...]:
    """Return all that a store says of its samples, in its order."""
    return store.samples, store.vectors().astype(np.float16).tobytes(), store.teacher, store.dim


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with filled(tmp_path_factory.mktemp("imports") / "store") as opened:
        yield opened


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A file with four vectors, each of one number twice, and a CSV file beside it."""
    np.save(tmp_path / "few.npy", np.repeat(np.arange(1, 5, dtype=np.float32)[:, None], 2, axis=1))
    (tmp_path / "few.csv").write_text("id,label,light\na,good,1\nb,,\nc,defect,3\nd,good,4\n", "utf-8")
    return tmp_path / "few.npy"


# There and back


@pytest.mark.parametrize("ending", EXPORTS)
def test_what_left_comes_back_as_it_was(ending: str, store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / f"out{ending}")
    report = import_vectors(tmp_path / "again", tmp_path / f"out{ending}", teacher=TEACHER)
    with embedstore.open(tmp_path / "again") as again:
        assert contents(again) == contents(store)
        assert (report.version, report.samples, report.count) == (again.version, len(again), len(store))
    assert (report.replaced, report.dim, report.teacher, report.left_out) == (0, store.dim, TEACHER, ())


@pytest.mark.parametrize("ending", EXPORTS)
def test_many_rows_come_in_bounded_batches(ending: str, tmp_path: Path) -> None:
    count = 2 * BATCH + 3
    with filled(tmp_path / "many", count, 2) as many:
        export(many, tmp_path / f"many{ending}")
        source = open_source(tmp_path / f"many{ending}")
        assert (source.count, source.dim) == (count, 2)
        batches = list(source.batches())
        assert max(len(batch.ids) for batch in batches) <= BATCH
        assert [name for batch in batches for name in batch.ids] == many.ids
        stored = np.concatenate([batch.vectors for batch in batches])
        np.testing.assert_array_equal(stored, many.vectors().astype(np.float16))
        assert [text for batch in batches for text in batch.fields["label"]] == many.labels


@pytest.mark.parametrize("ending", EXPORTS)
def test_a_store_without_fields_comes_back(ending: str, tmp_path: Path) -> None:
    with embedstore.create(tmp_path / "bare", teacher=TEACHER, dim=1) as bare:
        with bare.write() as writer:
            writer.add(["one", "two"], np.array([[1.0], [0.0]]))
        export(bare, tmp_path / f"bare{ending}")
        import_vectors(tmp_path / "again", tmp_path / f"bare{ending}", teacher=TEACHER)
        with embedstore.open(tmp_path / "again") as again:
            assert contents(again) == contents(bare)


def test_every_format_that_leaves_comes_in() -> None:
    assert set(EXPORTS) <= set(IMPORTS)


# Into a store


def test_a_store_is_made_and_then_added_to(vectors: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = import_vectors(
        tmp_path / "s", vectors, teacher=TEACHER, progress=lambda done, total: seen.append((done, total))
    )
    assert (first.version, first.samples, first.dim) == (1, 4, 2)
    assert seen == [(0, 4), (4, 4)]
    np.save(tmp_path / "more.npy", np.ones((2, 2), np.float16))
    second = import_vectors(tmp_path / "s", tmp_path / "more.npy", teacher=TEACHER)
    assert (second.version, second.samples, second.count, second.replaced) == (2, 6, 2, 0)
    with embedstore.open(tmp_path / "s") as store:
        assert store.ids == ["a", "b", "c", "d", "more/0", "more/1"]
        assert store.labels == ["good", None, "defect", "good", None, None]
        assert store.field("light") == ["1", None, "3", "4", None, None]
        assert store.vectors().tolist() == [[1, 1], [2, 2], [3, 3], [4, 4], [1, 1], [1, 1]]
        assert (store.declared, store.teacher) == (True, TEACHER)
        assert store.log()[-1].action == "import"


def test_an_empty_directory_becomes_the_store(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert import_vectors(tmp_path / "s", vectors, teacher=TEACHER).samples == 4


def test_samples_that_are_there_are_replaced_only_when_asked(vectors: Path, tmp_path: Path) -> None:
    import_vectors(tmp_path / "s", vectors, teacher=TEACHER)
    np.save(tmp_path / "new.npy", np.full((2, 2), 9, np.float16))
    (tmp_path / "new.csv").write_text("id,label\nd,\ne,good\n", "utf-8")
    with pytest.raises(
        StoreError, match=r"^1 of the 2 samples are in the store already, such as 'd'; leave them out, or"
    ):
        import_vectors(tmp_path / "s", tmp_path / "new.npy", teacher=TEACHER)
    with embedstore.open(tmp_path / "s") as store:
        assert (store.version, store.ids) == (1, ["a", "b", "c", "d"])
    report = import_vectors(tmp_path / "s", tmp_path / "new.npy", teacher=TEACHER, replace=True)
    assert (report.count, report.replaced, report.samples, report.version) == (2, 1, 5, 2)
    with embedstore.open(tmp_path / "s") as store:
        assert store.vectors(["d", "e", "a"]).tolist() == [[9, 9], [9, 9], [1, 1]]
        assert store.sample("d").label is None  # the new source says so
        assert dict(store.sample("d").attributes) == {"light": "4"}  # of which it says nothing


# What is refused leaves nothing


def test_another_teacher_or_dimension_is_refused_with_both_names(vectors: Path, tmp_path: Path) -> None:
    import_vectors(tmp_path / "s", vectors, teacher=TEACHER)
    np.save(tmp_path / "wide.npy", np.ones((1, 5), np.float16))
    for source, teacher, both in (
        (
            vectors,
            "dino",
            rf"declared to be of the teacher '{TEACHER}' \(2 numbers a vector\), .* 'dino' \(2 numbers\)",
        ),
        (
            tmp_path / "wide.npy",
            TEACHER,
            rf"the teacher '{TEACHER}' \(2 numbers a vector\), .* '{TEACHER}' \(5 numbers\)",
        ),
    ):
        with pytest.raises(TeacherMismatchError, match=both):
            import_vectors(tmp_path / "s", source, teacher=teacher, replace=True)
    with embedstore.open(tmp_path / "s") as store:
        assert (store.version, len(store)) == (1, 4)


def test_a_store_that_a_build_filled_takes_no_declared_vectors(vectors: Path, tmp_path: Path) -> None:
    from helpers import store_of  # its teacher is not declared

    with store_of(tmp_path / "built", np.ones((1, 2))) as built:
        with pytest.raises(
            TeacherMismatchError, match=r"filled by a build with the teacher 'by hand' \(2 numbers a vector\)"
        ):
            import_vectors(tmp_path / "built", vectors, teacher=built.teacher)
        built.refresh()
        assert len(built) == 1


def test_an_id_in_two_rows_is_named_with_them(tmp_path: Path) -> None:
    count = BATCH + 2
    np.save(tmp_path / "x.npy", np.ones((count, 1), np.float16))
    ids = [f"id {at}" for at in range(count)]
    ids[1], ids[-1] = "カ\u3099", "ガ"  # one id to a store, in two spellings and two batches
    (tmp_path / "x.csv").write_text("\n".join(["id", *ids]), "utf-8")
    with pytest.raises(
        SourceError, match=rf"^'.*x\.csv' has the id '.*' in 2 rows \(1, {count - 1}, counted from 0\); give"
    ):
        import_vectors(tmp_path / "s", tmp_path / "x.npy", teacher=TEACHER)
    assert not (tmp_path / "s").exists()


def spoilt(path: Path) -> Path:
    """Write vectors of which the first batch is good and the second is not."""
    rows: npt.NDArray[np.float32] = np.ones((BATCH + 5, 1), np.float32)
    rows[-2] = np.nan
    np.save(path, rows)
    return path


def test_a_bad_row_behind_good_ones_leaves_no_store(tmp_path: Path) -> None:
    source = spoilt(tmp_path / "bad.npy")
    with pytest.raises(
        SourceError, match=rf"^Vector {BATCH + 3} of '.*bad\.npy' \(counted from 0\) holds values that are"
    ):
        import_vectors(tmp_path / "s", source, teacher=TEACHER)
    assert [one.name for one in tmp_path.iterdir()] == ["bad.npy"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_import_that_is_stopped_changes_nothing(stop: type[BaseException], tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones((1, 1), np.float16))
    np.save(tmp_path / "many.npy", np.ones((BATCH + 1, 1), np.float16))

    def stopped(done: int, total: int) -> None:
        if done == BATCH:
            raise stop

    import_vectors(tmp_path / "old", tmp_path / "one.npy", teacher=TEACHER)
    for name in ("old", "new"):
        with pytest.raises(stop):
            import_vectors(tmp_path / name, tmp_path / "many.npy", teacher=TEACHER, progress=stopped)
    assert not (tmp_path / "new").exists()
    with embedstore.open(tmp_path / "old") as store:
        assert (store.version, store.ids) == (1, ["one/0"])
    assert import_vectors(tmp_path / "old", tmp_path / "many.npy", teacher=TEACHER).samples == BATCH + 2


def test_what_is_no_store_is_left_alone(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary", "utf-8")
    (tmp_path / "file").write_text("mine", "utf-8")
    for name in ("mine", "file", "gone/s"):
        with pytest.raises(StoreError):
            import_vectors(tmp_path / name, vectors, teacher=TEACHER)
    assert (tmp_path / "mine" / "diary.txt").read_text("utf-8") == "dear diary"
    assert (tmp_path / "file").read_text("utf-8") == "mine"
    assert not (tmp_path / "gone").exists()


def test_sources_that_are_none_are_refused(vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x", "utf-8")
    for source, sentence in (
        (tmp_path / "gone.npy", r"^'.*gone\.npy' does not exist; give a file, or a folder"),
        (tmp_path / "x.txt", r"^The ending of '.*x\.txt' names no format; use one of \.npy, \.parquet, \.safetensors"),
        (tmp_path / "few.csv", r"names no format"),
    ):
        with pytest.raises(SourceError, match=sentence):
            import_vectors(tmp_path / "s", source, teacher=TEACHER)
    with pytest.raises(SettingsError, match=r"^The teacher has no name; say what made the vectors, such as"):
        import_vectors(tmp_path / "s", vectors, teacher=" ")
    with pytest.raises(SourceError, match=r"^The folder '.*gone' of the pictures does not exist; leave it out"):
        import_vectors(tmp_path / "s", vectors, teacher=TEACHER, images=tmp_path / "gone")
    assert not (tmp_path / "s").exists()


def test_a_source_that_shrinks_while_it_is_read_is_refused(vectors: Path, tmp_path: Path) -> None:
    def shrink(done: int, total: int) -> None:
        if not done:
            (tmp_path / "few.csv").write_text("id\n", "utf-8")

    with pytest.raises(SourceError, match=r"^'.*few\.npy' changed while it was read; import it again\.$"):
        import_vectors(tmp_path / "s", vectors, teacher=TEACHER, progress=shrink)
    assert not (tmp_path / "s").exists()


# Real vectors


CLIP = Path(__file__).parents[3] / "shared" / "data" / "clip-embeddings"


@pytest.mark.skipif(not CLIP.is_dir(), reason="the development data with genuine CLIP vectors are not here")
@pytest.mark.parametrize(("name", "unit"), [("watches-vit-b-32", True), ("phone-views-vit-b-32", False)])
def test_genuine_clip_vectors_keep_their_lengths_and_directions(name: str, unit: bool, tmp_path: Path) -> None:
    report = import_vectors(tmp_path / "s", CLIP / f"{name}.npy", teacher=TEACHER)
    given = np.load(CLIP / f"{name}.npy").astype(np.float64)
    with embedstore.open(tmp_path / "s") as store:
        stored = store.vectors().astype(np.float64)
        assert len(store) == report.count == len(given)
        assert store.ids[3] == f"{name}/3"
        assert len(store.counts("label")) == (10 if unit else 3)
    lengths, kept = np.linalg.norm(given, axis=1), np.linalg.norm(stored, axis=1)
    np.testing.assert_allclose(kept, lengths, rtol=2**-11)  # half a step of float16
    assert (abs(lengths - 1) < 1e-3).all() == unit
    cosines = (given * stored).sum(1) / (lengths * kept)
    assert 1 - cosines.min() < 1e-6
