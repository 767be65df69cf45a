"""An exported summary: written whole or not at all, read back to the last bit, refused where it is not what was written."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pytest
from helpers import run_python, store_of, unit_vectors

from embedstore import EmbeddingStore, Summary
from embedstore.errors import SettingsError, SummaryError
from embedstore.exports import SummaryFile, export, summary_file
from embedstore.store.writing import next_head, writer

COUNT, DIM, VIEWS = 24, 5, 2
SEEN, KEPT = 6, 3  # labelled training samples, and how many of them the summary `few` keeps
VECTORS = np.stack([unit_vectors(seed, COUNT, DIM) for seed in range(VIEWS + 1)])
IDS = [f"部品/<b>{number * 7 % COUNT:02}</b>.png" for number in range(COUNT)]  # the order of rows is not that of ids
LABELS = [("good", "傷", None)[number // 6 % 3] for number in range(COUNT)]
SPLITS = [("train", "train", "val", "test", None, "aside")[number % 6] for number in range(COUNT)]


def make_store(path: Path, *, gone: int = 0, views: int = VIEWS) -> EmbeddingStore:
    """Make a store, without its first samples where asked."""
    return store_of(
        path,
        VECTORS[: views + 1, gone:],
        ids=IDS[gone:],
        labels=LABELS[gone:],
        modes=[("thin", None)[number % 2] for number in range(gone, COUNT)],
        groups=[f"part {number // 2}" if number % 8 else None for number in range(gone, COUNT)],
        splits=SPLITS[gone:],
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with make_store(tmp_path_factory.mktemp("exports") / "store") as opened:
        opened.summarize("rare-samples", name="few", split="train", k=1, share=0.4)
        opened.summarize("class-mean", name="means", split="train")
        opened.summarize("class-distribution", name="spread", split="train", rank=2)
        yield opened


@pytest.fixture
def file(store: EmbeddingStore, tmp_path: Path) -> Path:
    export(store, tmp_path / "few.safetensors", summary="few")
    return tmp_path / "few.safetensors"


def same(found: SummaryFile, expected: SummaryFile) -> bool:
    """Return whether two files say the same."""
    for field in fields(Summary):
        one, other = getattr(found.kept, field.name), getattr(expected.kept, field.name)
        if isinstance(one, np.ndarray):
            one, other = one.tolist(), other.tolist()
        if one != other:
            return False
    said = [(f.samples, f.recipe, f.teacher, [f.content_at(at) for at in range(len(f))]) for f in (found, expected)]
    return said[0] == said[1]


# There and back


@pytest.mark.parametrize("name", ["few", "spread"])
def test_the_summary_comes_back_as_it_was(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "there.safetensors", summary=name)
    kept, original = SummaryFile(tmp_path / "there.safetensors").kept, store.summary(name)
    assert (original.axes is None) == (name == "few")
    for field in fields(Summary):
        one, other = getattr(kept, field.name), getattr(original, field.name)
        if isinstance(other, np.ndarray):
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), field.name
        else:
            assert one == other, field.name


def test_the_file_says_of_every_sample_what_the_store_says(store: EmbeddingStore, file: Path) -> None:
    found = SummaryFile(file)
    assert len(found) == COUNT
    for at, sample in enumerate(store.samples):
        assert found.samples[at] == found.sample_at(at)
        assert found.sample_at(at) == replace(sample, attributes={}, given=frozenset())
        assert found.content_at(at) == store.content_at(at)
        assert sample.id in found
    assert found.positions(IDS[5:2:-1]).tolist() == [5, 4, 3]
    assert (found.teacher, found.fingerprint, found.version) == (store.teacher, store.fingerprint, store.version)
    assert (found.dim, found.views, found.recipe) == (DIM, VIEWS, store.recipe)
    assert found.image_root is None


@pytest.mark.parametrize("view", range(VIEWS + 1))
def test_kept_samples_have_their_own_vectors_in_every_view(view: int, store: EmbeddingStore, file: Path) -> None:
    found = SummaryFile(file)
    kept = [found.kept.seen[at] for at in found.kept.source if at >= 0]
    assert len(kept) == KEPT
    vectors = found.read(found.positions(kept[::-1]), view=view)
    assert vectors.dtype == np.float32
    expected = VECTORS[view, [IDS.index(sample_id) for sample_id in kept[::-1]]].astype(np.float32)
    np.testing.assert_array_equal(vectors, expected)
    assert found.read(np.array([], np.int64), view=view).shape == (0, DIM)


def test_no_other_vector_is_in_the_file(file: Path) -> None:
    found = SummaryFile(file)
    kept = {found.kept.seen[at] for at in found.kept.source if at >= 0}
    for sample_id in set(IDS) - kept:
        with pytest.raises(
            SummaryError, match=r"does not keep the vector of '.*'; a policy that needs every picture's"
        ):
            found.read(found.positions([sample_id]))
        assert VECTORS[0, IDS.index(sample_id)].tobytes() not in file.read_bytes()


def test_a_summary_of_means_keeps_no_vectors(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "means.safetensors", summary="means")
    found = SummaryFile(tmp_path / "means.safetensors")
    assert found.read(np.array([], np.int64), view=1).shape == (0, DIM)
    with pytest.raises(SummaryError, match="does not keep the vector"):
        found.read(np.array([0]))


def test_it_knows_its_own_summary_only(file: Path) -> None:
    assert SummaryFile(file).summary("few").name == "few"
    with pytest.raises(SummaryError, match=r"^The file '.*few\.safetensors' holds the summary 'few', not 'monday'\.$"):
        SummaryFile(file).summary("monday")


def test_an_unknown_id_is_named(file: Path) -> None:
    with pytest.raises(SummaryError, match=r"^The file '.*' knows no sample 'nothing'\.$"):
        SummaryFile(file).positions([IDS[0], "nothing"])
    assert "nothing" not in SummaryFile(file)


def test_it_is_a_summary_to_any_other_program(store: EmbeddingStore, file: Path) -> None:
    assert Summary.from_bytes(file.read_bytes()).to_bytes() == store.summary("few").to_bytes()


def test_the_same_summary_gives_the_same_file(store: EmbeddingStore, file: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "again.safetensors", summary="few")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["'x' <i> \x1b[31m.safetensors", "要約 😀.safetensors", ".safetensors.safetensors"])
def test_any_file_name_will_do(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, str(tmp_path / name), summary="means")
    assert SummaryFile(str(tmp_path / name)).kept.name == "means"
    assert [one.name for one in tmp_path.iterdir()] == [name]


# Whole or not at all


def test_a_file_that_is_there_is_replaced_only_when_asked(store: EmbeddingStore, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(SettingsError, match=r"^'.*few\.safetensors' exists; choose another name, or replace it with"):
        export(store, file, summary="means")
    assert file.read_bytes() == before
    export(store, file, summary="means", overwrite=True)
    assert SummaryFile(file).kept.name == "means"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("written", [0, 100])
def test_an_export_that_is_stopped_leaves_nothing_and_takes_nothing(
    written: int, stop: type[BaseException], store: EmbeddingStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def stopped(_: EmbeddingStore, path: Path, **__: object) -> None:
        path.write_bytes(b"x" * written)
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(summary_file, "write", stopped)
        for target in (file, file.with_name("new.safetensors")):
            with pytest.raises(stop):
                export(store, target, summary="few", overwrite=True)
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_an_export_that_is_killed_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        store.summarize("class-mean", name="means", split="train")
    code = """
import os, signal, sys
import embedstore
from embedstore.exports import export
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
with embedstore.open(sys.argv[1]) as store:
    export(store, sys.argv[2], summary="means")
"""
    target = tmp_path / "means.safetensors"
    assert run_python(code, tmp_path / "store", target).returncode == -signal.SIGKILL
    assert not target.exists()
    with EmbeddingStore(tmp_path / "store") as store:
        export(store, target, summary="means")
    assert SummaryFile(target).kept.name == "means"


# What is not exported


@pytest.mark.parametrize("name", ["few.txt", "few", "few.SAFETENSORS", "few.safetensors.gz", "safetensors"])
def test_an_unknown_ending_is_refused_with_the_known_ones(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"names no format for a summary; use one of .*\.safetensors"):
        export(store, tmp_path / name, summary="few")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_exist_is_named(store: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^The directory '.*nowhere' does not exist; make it first\.$"):
        export(store, tmp_path / "nowhere" / "few.safetensors", summary="few")


def test_a_summary_is_known_and_leaves_whole_as_one_format(store: EmbeddingStore, tmp_path: Path) -> None:
    for part in ({"where": {"label": "good"}}, {"view": 1}):
        with pytest.raises(SettingsError, match=r"^A summary is exported whole; leave the conditions and the view out"):
            export(store, tmp_path / "few.safetensors", summary="few", **part)
    with pytest.raises(SettingsError, match=r"names no format for a summary; use one of \.safetensors\.$"):
        export(store, tmp_path / "few.parquet", summary="few")
    with pytest.raises(SummaryError, match=r"has no summary 'monday'"):
        export(store, tmp_path / "few.safetensors", summary="monday")
    assert list(tmp_path.iterdir()) == []


def put(store: EmbeddingStore, summary: Summary) -> None:
    """Write a summary into a store past all checks."""
    from embedstore.store.writing import writer

    with writer(store.path) as session:
        session.write(lambda tables: tables.put_summary(summary.name, summary.to_bytes()))


def test_a_summary_that_knows_fewer_views_than_the_store_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    with make_store(tmp_path / "one view", views=1) as small:
        old = small.summarize("class-mean", split="train")
    with make_store(tmp_path / "store") as grown:
        put(grown, replace(old, name="old"))
        with pytest.raises(
            SummaryError, match=r"^The summary 'old' knows 1 views, but the store has 2 now; make it again"
        ):
            export(grown, tmp_path / "old.safetensors", summary="old")
    assert not (tmp_path / "old.safetensors").exists()


def test_a_summary_of_samples_that_have_left_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    with make_store(tmp_path / "pruned", gone=2) as pruned:
        put(pruned, store.summary("few"))
        with pytest.raises(
            SummaryError, match=rf"^2 pictures of the summary 'few' \(such as '{IDS[0]}'\) have left the"
        ):
            export(pruned, tmp_path / "few.safetensors", summary="few")


# What is not read


def test_a_file_that_is_not_there_is_told_how_to_make(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.safetensors", tmp_path, tmp_path / ("x" * 300 + ".safetensors")):
        with pytest.raises(
            SummaryError, match=r"^There is no file '.*'; write one with: embedstore export STORE '.*' --s"
        ):
            SummaryFile(path)


def test_a_summary_without_what_training_needs_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    path.write_bytes(store.summary("few").to_bytes())
    with pytest.raises(
        SummaryError,
        match=r"^'.*plain\.safetensors' holds a summary, but not what training needs; write it with: embedstore export$",
    ):
        SummaryFile(path)


def test_a_changed_byte_anywhere_is_found_or_changes_nothing(file: Path) -> None:
    original, data = SummaryFile(file), file.read_bytes()
    random = np.random.default_rng(0)
    found = 0
    places = sorted({*range(200), *random.integers(0, len(data), 1200).tolist()})
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << int(random.integers(8))
        file.write_bytes(changed)
        try:
            came_back = SummaryFile(file)
        except SummaryError:
            found += 1
        else:
            assert same(came_back, original), at  # such as the spaces that pad the header
    assert found > 0.98 * len(places)


def test_a_file_that_is_cut_off_is_refused(file: Path) -> None:
    data = file.read_bytes()
    for size in [*range(0, len(data), 29), len(data) - 1]:
        file.write_bytes(data[:size])
        with pytest.raises(SummaryError, match=r"^'.*few\.safetensors' can't be used: The bytes are no summary"):
            SummaryFile(file)


def test_something_else_under_the_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "else.safetensors"
    nested = b'{"__metadata__":{"embedstore.summary":"' + b"[" * 200_000 + b'"}}'
    flat = b'{"__metadata__":{"embedstore.summary":"[]"}}'
    for data in (b"PK\x03\x04", b"\x00" * 64, *(len(text).to_bytes(8, "little") + text for text in (nested, flat))):
        path.write_bytes(data)
        with pytest.raises(SummaryError, match=r"^'.*else\.safetensors' can't be used: "):
            SummaryFile(path)


# What someone may have made by hand, checksum and all

Tensors = dict[str, npt.NDArray[Any]]


def forge(file: Path, *, training: Callable[[Any], Any] | None = None, own: Any = None, **changed: Any) -> None:
    """Write the file again with some of its parts changed, and a checksum that fits."""
    kept, extra = Summary.with_extra(file.read_bytes())
    told = msgpack.unpackb(extra["training"].tobytes())
    told = told if training is None else training(told)
    tensors: Tensors = {
        "training": np.frombuffer(told if isinstance(told, bytes) else msgpack.packb(told), np.uint8),
        "own": extra["own"] if own is None else own,
    }
    file.write_bytes(replace(kept, **changed).to_bytes(tensors))


def first_sample(**change: Any) -> Callable[[Any], Any]:
    """Return a change of the first sample's fields."""
    names = ("id", "uri", "label", "mode", "group", "split", "content")

    def changed(told: Any) -> Any:
        row = dict(zip(names, told["samples"][0], strict=True)) | change
        return told | {"samples": [list(row.values()), *told["samples"][1:]]}

    return changed


def test_a_file_that_was_written_again_unchanged_is_taken(file: Path) -> None:
    before = SummaryFile(file)
    forge(file)
    assert same(SummaryFile(file), before)


@pytest.mark.parametrize(
    "uri",
    [
        "../x.png", "a/../../x.png", "..", "/etc/passwd", "//x", "C:\\x.png", "C:x.png", "c:/x", "\\x.png",
        "\\\\host\\x", "a\\..\\..\\x.png", "..\\x.png", "", ".", "a\0b.png",
    ],
)  # fmt: skip
def test_a_picture_outside_of_the_image_folder_is_refused(uri: str, file: Path) -> None:
    forge(file, training=first_sample(uri=uri))
    with pytest.raises(SummaryError, match=r"^The file names the picture '.*', which is outside of the image folder"):
        SummaryFile(file)


@pytest.mark.parametrize("uri", ["a/b.png", "..png", "a..b/c.png", "部品/<b>.png", "a\\b.png", " .png", "a/./b.png"])
def test_a_strange_picture_inside_is_taken(uri: str, file: Path) -> None:
    forge(file, training=first_sample(uri=uri))
    assert SummaryFile(file).sample_at(0).uri == uri


NOT_WHAT_TRAINING_NEEDS: dict[str, dict[str, Any]] = {
    "no bytes": {"training": lambda told: b""},
    "no msgpack": {"training": lambda told: b"\xc1" * 9},
    "deep nesting": {"training": lambda told: b"\x91" * 100_000},
    "a list": {"training": lambda told: [told]},
    "a number": {"training": lambda told: 3},
    "nothing": {"training": lambda told: None},
    "no samples": {"training": lambda told: {key: told[key] for key in ("teacher", "recipe")}},
    "no teacher": {"training": lambda told: {key: told[key] for key in ("samples", "recipe")}},
    "no recipe": {"training": lambda told: {key: told[key] for key in ("samples", "teacher")}},
    "samples are a number": {"training": lambda told: told | {"samples": 3}},
    "samples are words": {"training": lambda told: told | {"samples": ["abcdefg"]}},
    "a sample lacks a field": {"training": lambda told: told | {"samples": [row[:6] for row in told["samples"]]}},
    "a recipe of another release": {"training": lambda told: told | {"recipe": told["recipe"] | {"version": 9}}},
    "a recipe that can't be": {"training": lambda told: told | {"recipe": told["recipe"] | {"fit": "stretch"}}},
    "a recipe with more": {"training": lambda told: told | {"recipe": told["recipe"] | {"blur": 1}}},
    "a recipe of numbers": {"training": lambda told: told | {"recipe": [1, 2]}},
    "an id twice": {"training": lambda told: told | {"samples": [*told["samples"], told["samples"][0]]}},
    "a summary of other samples": {"training": lambda told: told | {"samples": told["samples"][20:]}},
    "an id is a number": {"training": first_sample(id=3)},
    "an id is a list": {"training": first_sample(id=["a"])},
    "a path is a number": {"training": first_sample(uri=3)},
    "a path is nothing": {"training": first_sample(uri=None)},
    "a label is a number": {"training": first_sample(label=1)},
    "a mode is a list": {"training": first_sample(mode=[])},
    "a group is bytes": {"training": first_sample(group=b"x")},
    "an unknown side": {"training": first_sample(split="dev")},
    "a hash is a text": {"training": first_sample(content="abc")},
    "vectors of too few views": {"own": np.zeros((KEPT, VIEWS, DIM), np.float16)},
    "vectors of too few samples": {"own": np.zeros((KEPT - 1, VIEWS + 1, DIM), np.float16)},
    "vectors of another dimension": {"own": np.zeros((KEPT, VIEWS + 1, DIM - 1), np.float16)},
    "flat vectors": {"own": np.zeros(KEPT, np.float16)},
}


@pytest.mark.parametrize("case", NOT_WHAT_TRAINING_NEEDS)
def test_parts_that_are_not_what_training_needs_are_refused(case: str, file: Path) -> None:
    forge(file, **NOT_WHAT_TRAINING_NEEDS[case])
    with pytest.raises(
        SummaryError, match=r"few\.safetensors' holds a summary, but not what training needs; write it wi"
    ):
        SummaryFile(file)


NO_SUMMARY: dict[str, dict[str, Any]] = {
    "a prototype of no sample": {"source": np.array([-1, 99, 1, -1, 2], np.int64)},
    "sources of too few prototypes": {"source": np.array([-1, 0, 1, 2], np.int64)},
    "flat prototypes": {"vectors": np.zeros(DIM, np.float32)},
    "too few prototypes": {"vectors": np.zeros((2, DIM), np.float32)},
    "a centre of another dimension": {"centre": np.zeros(DIM + 1, np.float32)},
    "an unknown prototype serves": {"serving": np.full((SEEN, VIEWS + 1), 99, np.int32)},
    "no prototype serves": {"serving": np.full((SEEN, VIEWS + 1), -1, np.int32)},
    "fewer are served": {"serving": np.zeros((SEEN - 1, VIEWS + 1), np.int32)},
    "flat serving": {"serving": np.zeros(SEEN, np.int32)},
    "prototypes that are no numbers": {"vectors": np.full((5, DIM), np.nan, np.float32)},
    "a centre that is no number": {"centre": np.full(DIM, np.inf, np.float32)},
    "serving of no view": {"serving": np.zeros((SEEN, 0), np.int32)},
    "serving in fractions": {"serving": np.zeros((SEEN, VIEWS + 1), np.float32)},
    "fitted of fewer": {"fitted": np.ones(SEEN - 1, bool)},
    "counts of fewer": {"counts": np.ones(2, np.int64)},
    "axes of fewer prototypes": {"axes": np.zeros((4, 2, DIM), np.float32)},
    "axes of another dimension": {"axes": np.zeros((5, 2, DIM + 1), np.float32)},
    "flat axes": {"axes": np.zeros((5, DIM), np.float32)},
    "axes that are no numbers": {"axes": np.full((5, 2, DIM), np.nan, np.float32)},
    "axes of whole numbers": {"axes": np.zeros((5, 2, DIM), np.int64)},
    "labels that are numbers": {"labels": [1, 2, 3, 4, 5]},
    "a sample twice": {"seen": ["a"] * SEEN},
}


def test_axes_that_fit_are_taken(file: Path) -> None:
    """Else the refusals below would say nothing of axes."""
    axes = np.arange(5 * 2 * DIM, dtype=np.float32).reshape(5, 2, DIM)
    forge(file, axes=axes)
    found = SummaryFile(file).kept.axes
    assert found is not None
    np.testing.assert_array_equal(found, axes)


@pytest.mark.parametrize("case", NO_SUMMARY)
def test_a_summary_whose_parts_do_not_fit_is_refused_wherever_it_is_read(
    case: str, file: Path, store: EmbeddingStore
) -> None:
    forge(file, **NO_SUMMARY[case])
    with pytest.raises(SummaryError, match=r"few\.safetensors' can't be used: The bytes are no summary"):
        SummaryFile(file)
    with pytest.raises(SummaryError, match=r"^The bytes are no summary"):
        Summary.from_bytes(file.read_bytes())


def test_a_summary_of_pictures_that_have_changed_since_is_refused(tmp_path: Path) -> None:
    """Its prototypes would be of the old pictures, the vectors beside them of the new ones."""
    with make_store(tmp_path / "changing") as store:
        summary = store.summarize("class-mean", name="old")
        store.split(keep=True)  # no picture and no label
        export(store, tmp_path / "still.safetensors", summary="old")
        assert SummaryFile(tmp_path / "still.safetensors").version == store.version > summary.store_version
        record = replace(store.records()[store.positions([summary.seen[3]])[0]], label="another")
        with writer(store.path) as session:
            session.publish(next_head(store.head), "test", records=[record])
        store.refresh()
        with pytest.raises(
            SummaryError, match=rf"^1 pictures of the summary 'old' \(such as '{summary.seen[3]}'\) have"
        ):
            export(store, tmp_path / "gone.safetensors", summary="old")
        assert not (tmp_path / "gone.safetensors").exists()
