"""Search: exactly what brute force finds, under any filter, with ties in the order of the store."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, unit_vectors, write_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import PictureError, SettingsError, StoreError, TeacherError, TeacherMismatchError
from embedstore.store import reading
from embedstore.store.layout import BLOCK, Column
from embedstore.store.tables import Tables
from embedstore.teachers.pixels import PixelTeacher
from embedstore.vectors import Vectors, unit_length

COUNT, DIM = 600, 9
# Every third sample is a copy of the one before it or of a far one: ties within a block and over blocks.
VECTORS = unit_vectors(3, COUNT, DIM)
VECTORS[2::3] = VECTORS[1::3]
VECTORS[300:310] = VECTORS[7]
VECTORS[599] = 0
LABELS = [("good", "crack", None)[number % 3] if number % 11 else "rare" for number in range(COUNT)]
MODES = [("a", "b")[number // 100 % 2] for number in range(COUNT)]
IDS = [f"sample {number:05d}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    path = tmp_path_factory.mktemp("search") / "store"
    with store_of(path, VECTORS, labels=LABELS, modes=MODES, groups=IDS) as opened:
        yield opened


def brute_force(queries: npt.ArrayLike, allowed: npt.NDArray[np.bool_]) -> list[list[tuple[int, float]]]:
    """Return every allowed sample with its similarity, best first; of equal vectors the first in the store."""
    wide = np.atleast_2d(np.asarray(queries, np.float64))
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    wide = wide / np.where(lengths > 0, lengths, 1)
    rows = [[float(number) / (np.linalg.norm(row.astype(np.float64)) or 1) for number in row] for row in VECTORS]
    answers = []
    for query in wide:
        scores = [float(sum(float(a) * b for a, b in zip(query, row, strict=True))) for row in rows]
        answers.append(sorted(((at, scores[at]) for at in np.flatnonzero(allowed)), key=lambda one: (-one[1], one[0])))
    return answers


numbers = st.floats(-4, 4, width=32).map(lambda value: round(value, 3))
vectors = st.lists(numbers, min_size=DIM, max_size=DIM)
filters = st.fixed_dictionaries(
    {}, optional={"label": st.sampled_from(["good", "crack", "rare", None, "none such"]), "mode": st.sampled_from("ab")}
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(vectors, min_size=1, max_size=3) | vectors,
    st.integers(1, 700),
    filters,
    st.lists(st.integers(0, COUNT + 20), max_size=5),
    st.sampled_from([1, 2, 16]),
)
def test_search_finds_what_brute_force_finds(
    store: EmbeddingStore,
    queries: list[float] | list[list[float]],
    top: int,
    where: dict[str, str | None],
    excluded: list[int],
    blocks_at_once: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCKS_AT_ONCE", blocks_at_once)
        found = store.search(queries, top=top, where=where, exclude=[f"sample {number:05d}" for number in excluded])
    allowed = np.array(
        [
            ("label" not in where or label == where["label"])
            and ("mode" not in where or mode == where["mode"])
            and at not in excluded
            for at, (label, mode) in enumerate(zip(LABELS, MODES, strict=True))
        ]
    )
    expected = brute_force(queries, allowed)
    assert len(found) == len(expected)
    for hits, answers in zip(found, expected, strict=True):
        assert len(hits) == min(top, int(allowed.sum()))
        scores = {IDS[at]: score for at, score in answers}
        assert [hit.similarity for hit in hits] == pytest.approx([score for _, score in answers[: len(hits)]], abs=1e-6)
        for hit in hits:
            assert hit.similarity == pytest.approx(scores[hit.id], abs=1e-6)
            at = IDS.index(hit.id)
            assert (hit.label, hit.mode, hit.group, hit.uri) == (LABELS[at], MODES[at], IDS[at], IDS[at])
        assert len({hit.id for hit in hits}) == len(hits)
        of_equal_score = [IDS.index(hit.id) for hit in hits]
        for first, second, one, other in zip(of_equal_score, of_equal_score[1:], hits, hits[1:], strict=False):
            assert one.similarity > other.similarity or first < second


def test_equal_vectors_have_equal_scores_and_stand_in_the_order_of_the_store(store: EmbeddingStore) -> None:
    """A matrix product rounds by where a column stands; scores must not."""
    twins = ["sample 00007", "sample 00008", *[f"sample {number:05d}" for number in range(300, 310)]]
    for query in unit_vectors(8, 20, DIM).astype(np.float32) + VECTORS[7].astype(np.float32):
        for where in ({}, {"mode": "a"}, {"label": "good"}):
            allowed = dict(zip(IDS, store.where(where), strict=True))
            (hits,) = store.search(query, top=COUNT, where=where)
            scores = {hit.id: hit.similarity for hit in hits if hit.id in twins}
            assert list(scores) == [name for name in twins if allowed[name]]
            assert len(set(scores.values())) == 1


@pytest.mark.parametrize("count", [3, 5, 17, 257])
def test_copies_of_one_vector_all_score_the_same(tmp_path: Path, count: int) -> None:
    """Whatever the query: here its numbers span six orders of magnitude, so that most sums would have to be rounded."""
    random = np.random.default_rng(1)
    with store_of(tmp_path / "store", np.repeat(unit_vectors(9, 1, 200), count, axis=0)) as copies:
        for asked in (1, 2, 5, 20):
            queries = random.normal(size=(asked, 200)) * 10 ** random.uniform(-6, 0, (asked, 200))
            for hits in copies.search(queries, top=count):
                assert [hit.id for hit in hits] == copies.ids
                assert len({hit.similarity for hit in hits}) == 1


@pytest.mark.parametrize("blocks_at_once", [1, 2, 16])
def test_an_answer_does_not_hang_on_what_else_is_asked_or_how_the_scan_is_cut(
    store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch, blocks_at_once: int
) -> None:
    queries = np.random.default_rng(5).normal(size=(7, DIM))
    together = store.search(queries, top=50)
    monkeypatch.setattr(reading, "_BLOCKS_AT_ONCE", blocks_at_once)
    for query, hits in zip(queries, together, strict=True):
        assert store.search(query, top=50) == [hits]
        assert store.search(query, top=20) == [hits[:20]]


def test_a_sample_is_nearest_to_itself_at_any_length_of_the_query(store: EmbeddingStore) -> None:
    queries = store.vectors(["sample 00004", "sample 00451"]) * [[1], [250]]
    (first,), (second,) = store.search(queries, top=1)
    assert (first.id, second.id) == ("sample 00004", "sample 00451")
    assert first.similarity == pytest.approx(1, abs=1e-3)
    assert second.similarity == pytest.approx(1, abs=1e-3)
    for hits, same in zip(store.search(queries * 3), store.search(unit_length(queries)), strict=True):
        assert [hit.id for hit in hits] == [hit.id for hit in same]
        assert [hit.similarity for hit in hits] == pytest.approx([hit.similarity for hit in same], abs=1e-6)


def test_no_cosine_is_above_1(tmp_path: Path) -> None:
    """Queries are rounded, and some become longer than 1 by that."""
    vectors = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float16).astype(np.float32)
    with store_of(tmp_path / "s", np.concatenate([vectors, -vectors])) as opened:
        found = opened.nearest(vectors, top=400).similarities
        assert (found.max(), found.min()) == (1, -1)
        assert all(hit.similarity <= 1 for hits in opened.search(vectors, top=1) for hit in hits)


def test_what_is_excluded_is_no_answer(store: EmbeddingStore) -> None:
    query = store.vectors(["sample 00004"])
    (all_hits,) = store.search(query, top=10)
    (hits,) = store.search(query, top=8, exclude=[all_hits[0].id, all_hits[3].id, "unknown"])
    assert hits == [*all_hits[1:3], *all_hits[4:10]]


def test_more_answers_than_samples_are_all_samples(store: EmbeddingStore) -> None:
    (hits,) = store.search(np.ones(DIM), top=10_000)
    assert sorted(hit.id for hit in hits) == IDS
    (few,) = store.search(np.ones(DIM), top=10_000, where={"label": "rare", "mode": "a"})
    assert [hit for hit in hits if hit.label == "rare" and hit.mode == "a"] == few


def test_no_memory_is_taken_for_answers_that_can_not_be(store: EmbeddingStore) -> None:
    """Two billion places for each of a thousand queries would be 32 TB."""
    found = store.nearest(np.ones((1000, DIM)), 2 * 10**9, where={"label": "rare", "mode": "b"})
    passing = int(store.where({"label": "rare", "mode": "b"}).sum())
    assert found.positions.shape == found.similarities.shape == (1000, COUNT)
    assert (found.positions[:, :passing] >= 0).all()
    assert (found.positions[:, passing:] == -1).all()
    assert np.isnan(found.similarities[:, passing:]).all()


def test_a_new_store_answers_with_nothing(tmp_path: Path) -> None:
    with embedstore.create(tmp_path / "s", teacher="none", dim=3) as empty:
        assert empty.nearest(np.ones((2, 3)), 4).positions.shape == (2, 0)
        assert empty.search(np.ones((2, 3)), where={"label": "good"}) == [[], []]


def test_a_condition_that_is_no_text_is_refused(store: EmbeddingStore) -> None:
    wrong: Any = {"label": 1}
    with pytest.raises(
        SettingsError, match=r"^The condition on 'label' is 1; give a text, or None for samples without"
    ):
        store.search(np.ones(DIM), where=wrong)


def test_blocks_that_hold_nothing_that_passes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [str(number // BLOCK) for number in range(3 * BLOCK)]
    with store_of(tmp_path / "store", unit_vectors(4, 3 * BLOCK, DIM), labels=labels) as blocks:
        read: set[int] = set()
        take = Tables.take_vectors

        def seen(self: Tables, column: Column, rows: npt.NDArray[np.int64], *rest: Any) -> int | None:
            read.update((rows // BLOCK).tolist())
            return take(self, column, rows, *rest)

        monkeypatch.setattr(Tables, "take_vectors", seen)
        (hits,) = blocks.search(np.ones(DIM), top=1000, where={"label": "1"})
        assert (len(hits), read) == (BLOCK, {1})
        blocks.search(np.ones(DIM))
        assert read == {0, 1, 2}


def test_no_allowed_sample_means_no_answer(store: EmbeddingStore) -> None:
    assert store.search(np.ones((2, DIM)), where={"label": "no such"}) == [[], []]


def test_no_query_means_no_answers(store: EmbeddingStore) -> None:
    assert store.search(np.zeros((0, DIM))) == []


def test_a_query_of_zeros_is_as_near_to_all(store: EmbeddingStore) -> None:
    (hits,) = store.search(np.zeros(DIM), top=3)
    assert [(hit.id, hit.similarity) for hit in hits] == [(name, 0.0) for name in IDS[:3]]


@pytest.mark.parametrize(
    ("queries", "shape"),
    [
        (np.ones(DIM + 1), r"\(1, 10\)"),
        (np.ones((2, 3)), r"\(2, 3\)"),
        (np.ones((1, 1, DIM)), r"\(1, 1, 9\)"),
        ([], r"\(1, 0\)"),
        (1.0, r"\(1, 1\)"),
    ],
)
def test_queries_of_another_shape_are_refused(store: EmbeddingStore, queries: npt.ArrayLike, shape: str) -> None:
    with pytest.raises(StoreError, match=rf"^The queries have the shape {shape}; expected \(n, 9\)\.$"):
        store.search(queries)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_queries_that_are_not_finite_are_refused(store: EmbeddingStore, wrong: float) -> None:
    with pytest.raises(StoreError, match="not finite"):
        store.search([[1.0] * DIM, [1.0] * (DIM - 1) + [wrong]])


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_than_one_answer_is_refused(store: EmbeddingStore, top: int) -> None:
    with pytest.raises(StoreError, match=f"^The number of answers is {top}; ask for 1 or more\\.$"):
        store.search(np.ones(DIM), top=top)


def test_a_filter_on_an_unknown_field_is_refused(store: EmbeddingStore) -> None:
    with pytest.raises(StoreError, match="No sample has the field 'lbael'"):
        store.search(np.ones(DIM), where={"lbael": "good"})


def test_a_query_in_another_unicode_form_is_understood(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS[:2], ids=["défaut/0.png", "good/1.png"], labels=["défaut", "good"]) as store:
        spelt = unicodedata.normalize("NFD", "défaut")
        assert store.where({"label": spelt}).tolist() == [True, False]
        assert [hit.id for hit in store.query(id=f"{spelt}/0.png")] == ["good/1.png"]


class ReadingTeacher(PixelTeacher):
    """The NumPy teacher, which takes the word for a shade to be an even picture of it."""

    def embed_text(self, texts: list[str]) -> Vectors:
        shades = {"dark": 10, "bright": 240}
        return self.embed(np.stack([np.full((32, 32, 3), shades[text], np.uint8) for text in texts]))["embedding"]


def test_a_picture_or_a_text_is_looked_for_through_the_stores_own_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shade in (("night", 30), ("dusk", 90), ("noon", 220)):
        write_picture(tmp_path / "photos" / f"{name}.png", Image.new("L", (40, 40), shade))
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher="pixels")
    with embedstore.open(tmp_path / "s") as store:
        with pytest.raises(TeacherError, match="'pixels' reads no text"):
            store.query(text="bright")
        monkeypatch.setattr("embedstore.teachers.load_teacher", lambda spec, outputs: ReadingTeacher())
        (bright,) = store.query(text="bright", top=1)
        assert (bright.id, bright.similarity) == ("noon.png", pytest.approx(1, abs=1e-3))
        assert {hit.id for hit in store.query(text="dark", top=2)} == {"night.png", "dusk.png"}
        assert store.query(image=tmp_path / "photos" / "noon.png", top=1)[0].id == "noon.png"
        with pytest.raises(SettingsError, match="Give one of"):
            store.query(text="dark", id="noon.png")
        other = ReadingTeacher()
        other.fingerprint = "0" * 32
        monkeypatch.setattr("embedstore.teachers.load_teacher", lambda spec, outputs: other)
        with pytest.raises(TeacherMismatchError):
            store.query(text="dark")


def test_a_picture_that_is_not_there_is_refused_before_a_teacher_is_loaded(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddingStore, "load_teacher", lambda *_: pytest.fail("a teacher is loaded"))
    with pytest.raises(PictureError, match=r"gone\.png' can't be used: can't be read: No such file or directory"):
        store.query(image=tmp_path / "gone.png")
