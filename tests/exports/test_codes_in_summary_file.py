"""Codes of own vectors in an exported summary: they come back to the last bit, and parts that do not fit are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore, Summary
from embedstore.errors import SummaryError
from embedstore.exports import SummaryFile, export
from embedstore.summaries.codes import Codebook, codes_to_tensors

COUNT, DIM, VIEWS = 60, 12, 2
OPTIONS: dict[str, Any] = {"bytes": 2, "share": 0.1, "rare_bytes": 5}


def make_store(path: Path) -> EmbeddingStore:
    vectors = np.stack([unit_vectors(seed, COUNT, DIM) for seed in range(VIEWS + 1)])
    splits = [("train", "train", "val", "test")[number % 4] for number in range(COUNT)]
    return store_of(path, vectors, labels=["good", "傷"] * (COUNT // 2), splits=splits)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with make_store(tmp_path / "store") as store:
        store.summarize("compressed-own", name="short", split="train", **OPTIONS)
        export(store, tmp_path / "short.safetensors", summary="short")
    return tmp_path / "short.safetensors"


def test_codes_come_back_as_they_were(file: Path, tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path / "store") as store:
        expected = codes_to_tensors(store.summary("short").codes)
    assert len(expected) == 2 * 4  # short codes and longer ones
    found = codes_to_tensors(SummaryFile(file).kept.codes)
    assert found.keys() == expected.keys()
    for name, part in expected.items():
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (part.dtype, part.shape, part.tobytes())


def test_no_own_vector_is_in_the_file(file: Path, tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path / "store") as store:
        vectors = np.concatenate([store.vectors(view=view) for view in range(VIEWS + 1)]).astype(np.float16)
        store.summarize("rare-samples", name="rare", split="train", share=0.1, k=2)
        export(store, tmp_path / "rare.safetensors", summary="rare")
        kept = int((store.summary("rare").source >= 0).sum())

    def inside(path: Path) -> int:
        data = path.read_bytes()
        return sum(vector.tobytes() in data for vector in vectors)

    assert inside(tmp_path / "rare.safetensors") == kept * (VIEWS + 1) > 0  # where there are some, they are found
    assert inside(file) == 0
    with pytest.raises(SummaryError, match="does not keep the vector"):
        SummaryFile(file).read(np.array([0]))


def written_format(data: bytes) -> int:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return int(json.loads(header["embedstore.summary"])["format"])


def test_a_summary_without_codes_has_no_trace_of_them(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        data = store.summarize("class-mean").to_bytes()
    assert b'"codes.' not in data
    assert Summary.from_bytes(data).codes == ()
    assert written_format(data) == 2


def test_codes_are_of_a_format_that_programs_without_codes_refuse(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SummaryFile(file).kept
    assert written_format(file.read_bytes()) == 3
    monkeypatch.setattr("embedstore.summaries.summary._WITH_CODES", 2)  # as the first ones were written
    early = kept.to_bytes()
    monkeypatch.undo()
    assert written_format(early) == 2
    assert Summary.from_bytes(early).to_bytes() == kept.to_bytes()


def forge(file: Path, **changed: Any) -> None:
    """Write the file again with other codes, and a checksum that fits."""
    kept, extra = Summary.with_extra(file.read_bytes())
    file.write_bytes(replace(kept, **changed).to_bytes(extra))


def grown(book: Codebook, dim: int) -> Codebook:
    return Codebook(np.resize(book.centroids, (1, dim)).repeat(len(book.centroids), axis=0), np.resize(book.parts, dim))


@pytest.mark.parametrize(
    "case", ["as it was", "a centroid that is not there", "a sample without a code", "a view more", "2,000,000 axes"]
)
def test_codes_that_do_not_fit_are_refused_wherever_they_are_read(case: str, file: Path) -> None:
    short, long = SummaryFile(file).kept.codes
    changed = {
        "as it was": (short, long),
        "a centroid that is not there": (replace(short, codes=np.full_like(short.codes, 200)), long),
        "a sample without a code": (replace(short, of=short.of[1:], codes=short.codes[1:]), long),
        "2,000,000 axes": (replace(short, book=grown(short.book, 2_000_000)), long),
        "a view more": tuple(replace(one, codes=np.repeat(one.codes, 2, axis=1)) for one in (short, long)),
    }
    forge(file, codes=changed[case])
    if case == "as it was":
        assert len(SummaryFile(file).kept.codes) == 2
        return
    with pytest.raises(SummaryError, match=r"short\.safetensors' can't be used: The bytes are no summary"):
        SummaryFile(file)
    with pytest.raises(SummaryError, match=r"^The bytes are no summary"):
        Summary.from_bytes(file.read_bytes())


@pytest.mark.parametrize("name", ["codes", "centroids", "parts"])
def test_codes_of_which_a_part_is_missing_are_refused(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(codes: Any) -> dict[str, Any]:
        return {key: part for key, part in codes_to_tensors(codes).items() if key != f"codes.1.{name}"}

    with monkeypatch.context() as patch:
        patch.setattr("embedstore.summaries.summary.codes_to_tensors", without)
        forge(file)
    with pytest.raises(SummaryError, match=r"can't be used: The bytes are no summary \(KeyError\)"):
        SummaryFile(file)
