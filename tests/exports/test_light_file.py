"""A light file: what its codes stand for, by the format's own package; and that nothing else is taken for one."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import run_python, store_of, unit_vectors
from safetensors.numpy import load_file

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis.neighbour_loss import light_loss
from embedstore.errors import SettingsError, SourceError
from embedstore.exports import LightForm, export, read_light_file
from embedstore.exports.light_file import AXES, CENTRE, CODES, METADATA, in_bytes
from embedstore.exports.sealed import NO_CRC, write_sealed
from embedstore.store.reducing import fit

COUNT, DIM = 300, 12  # more than one block of rows
VECTORS = np.stack([unit_vectors(0, COUNT, DIM), unit_vectors(1, COUNT, DIM)])
IDS = [f"部品/{at:03}.png" for at in range(COUNT)]
LABELS = ["defect" if at % 3 == 0 else "good" for at in range(COUNT)]
GROUPS = [f"part {at // 2}" if at % 4 < 2 else None for at in range(COUNT)]
SPLITS = [("train", "train", "val", "test")[at // 2 % 4] for at in range(COUNT)]
TRAIN = np.array([split == "train" for split in SPLITS])
FORMS = [
    LightForm(int8=True), LightForm(dims=5), LightForm(int8=True, dims=5), LightForm(int8=True, dims=5, views=1),
    LightForm(views=1),
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    path = tmp_path_factory.mktemp("light") / "store"
    fields: dict[str, Any] = {"labels": LABELS, "groups": GROUPS, "splits": SPLITS}
    with store_of(path, VECTORS, ids=IDS, **fields) as opened:
        yield opened


def expected(store: EmbeddingStore, form: LightForm, view: int) -> npt.NDArray[np.float64]:
    """Return the directions that a light file is to hold, before they are rounded."""
    off = VECTORS[view].astype(np.float64) - VECTORS[0][TRAIN].astype(np.float64).mean(axis=0).astype(np.float16)
    if form.dims:
        off = off @ fit(store, form.dims).axes.astype(np.float64)
    return off / np.linalg.norm(off, axis=1, keepdims=True)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_directions_come_back_within_what_rounding_takes(
    form: LightForm, store: EmbeddingStore, tmp_path: Path
) -> None:
    export(store, tmp_path / "g.safetensors", light=form)
    light = read_light_file(tmp_path / "g.safetensors")
    assert (light.ids, light.labels, light.texts["split"]) == (IDS, LABELS, SPLITS)
    assert light.parts == [sample.part for sample in store.samples]
    assert (light.teacher, light.fingerprint) == (store.teacher, store.fingerprint)
    assert (len(light), light.views) == (COUNT, form.views)
    for view in range(1 + form.views):
        exact, found = expected(store, form, view), light.directions(view)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        # Each number is off by half a step; scaling to length 1 again at most doubles the distance.
        step = np.abs(exact).max(axis=1) / 127 if form.int8 else np.full(COUNT, 2.0**-10)
        assert (np.linalg.norm(found - exact, axis=1) <= np.sqrt(exact.shape[1]) * step + 1e-6).all()


def test_queries_are_brought_to_the_same_axes(store: EmbeddingStore, tmp_path: Path) -> None:
    form = LightForm(dims=5)
    export(store, tmp_path / "g.safetensors", light=form)
    found = read_light_file(tmp_path / "g.safetensors").project(VECTORS[0].astype(np.float32))
    np.testing.assert_allclose(found, expected(store, form, 0), atol=1e-6)


def test_the_file_is_what_its_description_says(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "g.safetensors", light=LightForm(int8=True, dims=5, views=1), where={"label": "good"})
    tensors = load_file(tmp_path / "g.safetensors")
    chosen = np.array(LABELS) == "good"
    assert (tensors[CODES].dtype, tensors[CODES].shape) == (np.int8, (2, chosen.sum(), 5))
    assert (tensors[CENTRE].dtype, tensors[AXES].shape) == (np.float16, (DIM, 5))
    assert (np.abs(tensors[CODES].astype(int)).max(axis=2) == 127).all()
    exact = expected(store, LightForm(dims=5), 1)[chosen]
    codes = np.round(exact * 127 / np.abs(exact).max(axis=1, keepdims=True))
    assert (np.abs(tensors[CODES][1] - codes) <= 1).all()  # a tie may fall either way
    assert (tensors[CODES][1] == codes).mean() > 0.99


def test_a_direction_of_zeros_stays_one() -> None:
    np.testing.assert_array_equal(
        in_bytes(np.array([[0, 0], [0.6, -0.8]], np.float32)), np.array([[0, 0], [95, -127]], np.int8)
    )


def test_what_it_loses_is_measured_on_what_is_held_out(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "whole.safetensors", light=LightForm(views=1))
    export(store, tmp_path / "few.safetensors", light=LightForm(int8=True, dims=2))
    whole, few = (
        light_loss(store, read_light_file(tmp_path / f"{name}.safetensors"), "good") for name in ("whole", "few")
    )
    assert (whole.queries, whole.candidates, whole.candidates_after) == ((~TRAIN).sum(), TRAIN.sum(), TRAIN.sum())
    assert whole.overlap is not None
    assert few.overlap is not None
    assert whole.overlap > 0.99
    assert few.overlap < 0.7
    assert whole.auroc == few.auroc == pytest.approx(whole.auroc_after, abs=0.01)


def test_it_is_read_without_pytorch(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "g.safetensors", light=LightForm(int8=True))
    code = """
import sys
sys.modules["torch"] = None
from embedstore.exports import read_light_file
print(read_light_file(sys.argv[1]).directions().shape)
"""
    assert run_python(code, tmp_path / "g.safetensors").stdout == f"({COUNT}, {DIM})\n"


# What is refused


def test_an_import_says_that_it_is_none(store: EmbeddingStore, tmp_path: Path) -> None:
    export(store, tmp_path / "g.safetensors", light=LightForm(int8=True))
    with pytest.raises(SourceError, match=r"is a light file, .* export without --light, and import that\."):
        embedstore.import_vectors(tmp_path / "new", tmp_path / "g.safetensors")
    assert not (tmp_path / "new").exists()


def test_what_can_not_be_is_refused(store: EmbeddingStore, tmp_path: Path) -> None:
    for form, further, sentence in (
        (LightForm(views=2), {}, "^The number of views is 2; expected 0 to 1, "),
        (LightForm(views=-1), {}, "^The number of views is -1"),
        (LightForm(dims=DIM), {}, f"^The number of dimensions is {DIM}"),
        (LightForm(), {"view": 1}, "leave --view and --summary out"),
        (LightForm(), {"summary": "means"}, "leave --view and --summary out"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            export(store, tmp_path / "g.safetensors", light=form, **further)
    with pytest.raises(SettingsError, match=r"names no format for a light file; use one of \.safetensors"):
        export(store, tmp_path / "g.npy", light=LightForm())
    with store_of(tmp_path / "unsplit", VECTORS) as unsplit, pytest.raises(SettingsError, match="write a split first"):
        export(unsplit, tmp_path / "g.safetensors", light=LightForm(int8=True))
    assert [one.name for one in tmp_path.iterdir()] == ["unsplit"]


def tampered(path: Path, **changes: Any) -> None:
    """Write a light file anew with other tensors or another description, and a checksum that fits."""
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    about = json.loads(header["__metadata__"][METADATA]) | changes.pop("about", {})
    about.pop("crc32")
    tensors = {name: one for name, one in (load_file(path) | changes).items() if one is not None}
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    kinds = {"int64": "I64", "float16": "F16", "int8": "I8", "uint8": "U8"}
    layout = {name: (kinds[tensors[name].dtype.name], list(tensors[name].shape)) for name in order}
    write_sealed(path, METADATA, about, layout, (tensors[name].tobytes() for name in order))


@pytest.mark.parametrize(
    "changes",
    [
        {CODES: np.zeros((1, COUNT - 1, 5), np.int8)},
        {CODES: np.zeros((1, COUNT, 4), np.int8)},
        {CODES: np.zeros((COUNT, 5), np.int8)},
        {CODES: np.zeros((1, COUNT, 5), np.uint8)},
        {CODES: np.full((1, COUNT, 5), np.nan, np.float16)},
        {CENTRE: np.zeros(DIM + 1, np.float16)},
        {CENTRE: np.full(DIM, np.inf, np.float16)},
        {AXES: None},
        {AXES: np.zeros((5, DIM), np.float16)},
        {"end:id": np.full(COUNT, 10**12, np.int64)},
        {"end:id": np.zeros(COUNT, np.int64)},
        {"text:label": np.full(10, 0xFF, np.uint8), "end:label": np.full(COUNT, 10, np.int64)},
        {"text:label": None, "end:label": None},
        {"about": {"fingerprint": "none"}},
        {"about": {"teacher": None}},
    ],
    ids=str,
)
def test_hostile_files_are_refused_in_a_sentence(
    changes: dict[str, Any], store: EmbeddingStore, tmp_path: Path
) -> None:
    path = tmp_path / "g.safetensors"
    export(store, path, light=LightForm(int8=True, dims=5))
    tampered(path)
    assert read_light_file(path).ids == IDS  # a fitting one is taken
    tampered(path, **changes)
    with pytest.raises(
        SourceError, match=r"is no whole light file \(\w+\); write it with: embedstore export STORE FILE --light"
    ):
        read_light_file(path)


def test_damage_and_other_files_are_told_apart(store: EmbeddingStore, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    export(store, path, light=LightForm(int8=True))
    data = bytearray(path.read_bytes())
    assert NO_CRC.encode() not in data[:400]
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="fails its checksum"):
        read_light_file(path)
    path.write_bytes(data[:1000])
    with pytest.raises(SourceError, match="is no whole light file"):
        read_light_file(path)
    export(store, path, overwrite=True)
    with pytest.raises(SourceError, match="is no light file of format 1"):
        read_light_file(path)
    with pytest.raises(SourceError, match="There is no file"):
        read_light_file(tmp_path / "none.safetensors")
