"""An exported `.safetensors` file of vectors: what is not the one that was written is refused."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from safetensors.numpy import load, save

from embedstore.errors import SourceError
from embedstore.exports import export
from embedstore.imports import open_source
from embedstore.imports.source import Batch, Options

IDS = ["部品 1", "b", "c,d"]
LABELS = ["good", None, "傷"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("original")
    with store_of(place / "store", unit_vectors(0, 3, 4), ids=IDS, labels=LABELS) as store:
        store.summarize("class-mean", name="means")
        export(store, place / "v.safetensors")
        export(store, place / "summary.safetensors", summary="means")
    return (place / "v.safetensors").read_bytes()


@pytest.fixture
def file(original: bytes, tmp_path: Path) -> Path:
    (tmp_path / "v.safetensors").write_bytes(original)
    return tmp_path / "v.safetensors"


def read(path: Path) -> Batch:
    (batch,) = open_source(path).batches()
    return batch


def test_it_is_read_as_it_was(file: Path) -> None:
    batch = read(file)
    assert (batch.ids, batch.fields["label"], batch.fields["mode"]) == (IDS, LABELS, [None] * 3)
    np.testing.assert_array_equal(batch.vectors, unit_vectors(0, 3, 4))


def test_a_changed_byte_anywhere_is_found(file: Path, original: bytes) -> None:
    rng = np.random.default_rng(0)
    for at in [*range(0, len(original), 5), *range(60, 100), len(original) - 1]:
        changed = bytearray(original)
        changed[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        with pytest.raises(SourceError, match=r"v\.safetensors' (is no|fails its checksum)"):
            read(file)


def test_a_file_that_is_cut_off_is_refused(file: Path, original: bytes) -> None:
    for size in [*range(0, len(original), 97), len(original) - 1]:
        file.write_bytes(original[:size])
        with pytest.raises(SourceError, match=r"^'.*v\.safetensors' (is no|fails its checksum)"):
            read(file)


def test_another_safetensors_file_is_refused(file: Path) -> None:
    for content in (save({"vectors": np.ones((2, 2), np.float16)}), save({"x": np.ones(2)}, metadata={"format": "pt"})):
        file.write_bytes(content)
        with pytest.raises(
            SourceError, match=r"is no file of vectors of format 1; write one with: .* \(without --summary\)$"
        ):
            read(file)


def test_a_summary_is_refused(original: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    summary = next(tmp_path_factory.getbasetemp().glob("original*/summary.safetensors"))
    with pytest.raises(SourceError, match=r"is no file of vectors"):
        read(summary)


def forge(file: Path, **tensors: Any) -> None:
    """Write the file again with some tensors changed, and a checksum that fits."""
    told = load(file.read_bytes()) | tensors
    about = json.dumps({"crc32": "00000000", "format": 1})
    content = save(told, metadata={"embedstore.vectors": about})
    file.write_bytes(content.replace(b"00000000", f"{zlib.crc32(content):08x}".encode(), 1))


FORGED: dict[str, dict[str, Any]] = {
    "vectors of another type": {"vectors": np.ones((3, 4), np.float32)},
    "vectors of one axis": {"vectors": np.ones(3, np.float16)},
    "fewer vectors": {"vectors": np.ones((2, 4), np.float16)},
    "no vectors": {"vectors": np.ones((0, 4), np.float16)},
    "not finite": {"vectors": np.full((3, 4), np.nan, np.float16)},
    "ends beyond": {"end:id": np.array([1, 2, 10**12])},
    "ends backwards": {"end:id": np.array([9, 1, 13])},
    "ends backwards between": {"end:label": np.array([4, 2, 7])},
    "ends before": {"end:id": np.array([-5, 1, 13])},
    "ends of another type": {"end:id": np.array([1.0, 2.0, 3.0])},
    "half a character": {"end:id": np.array([1, 9, 13])},
    "an end without a text": {"end:more": np.array([1, 2, 3])},
    "an empty id": {"end:id": np.array([0, 9, 13])},
}


@pytest.mark.parametrize("case", FORGED)
def test_what_was_made_by_hand_and_does_not_fit_is_refused(case: str, file: Path) -> None:
    forge(file)
    assert read(file).ids == IDS  # so that it is the change that is refused
    forge(file, **FORGED[case])
    with pytest.raises(SourceError):
        read(file)


def test_options_without_a_meaning_are_refused(file: Path) -> None:
    for options in (Options(column="vectors"), Options(fields=file)):
        with pytest.raises(
            SourceError, match=r"says where its vectors and fields are; leave --fields and --column out\.$"
        ):
            open_source(file, options)
