"""The export of a store on fewer axes: the axes come along, so that the store made from it takes pictures as the thinned one."""

import json
import shutil
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import write_pictures
from safetensors import safe_open

import embedstore
from embedstore.errors import SourceError, TeacherMismatchError
from embedstore.exports import LightForm, export
from embedstore.exports.sealed import write_sealed
from embedstore.exports.selection import Selection
from embedstore.exports.vectors_file import FORMAT, METADATA
from embedstore.imports import import_vectors
from embedstore.imports.source import origin_of

NAMES = [f"good/{at}.png" for at in range(6)]
DIMS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, and the store `small` of them on four axes."""
    place = tmp_path_factory.mktemp("thinned")
    write_pictures(place / "photos", NAMES)
    embedstore.build(place / "s", place / "photos", teacher="pixels", views=0)
    with embedstore.open(place / "s") as store, store.write() as changes:
        changes.set("split", dict.fromkeys(NAMES, "train"))
    embedstore.thin(place / "s", place / "small", dims=DIMS)
    return place


def about(place: Path) -> dict[str, Any]:
    with embedstore.open(place / "small") as small:
        said: dict[str, Any] = json.loads(json.dumps(Selection(small).about))
    return said


@pytest.mark.parametrize("ending", [".parquet", ".safetensors"])
def test_what_comes_back_embeds_pictures_as_the_thinned_store(ending: str, place: Path, tmp_path: Path) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    with embedstore.open(place / "small") as small:
        export(small, tmp_path / f"r{ending}")
        report = import_vectors(tmp_path / "again", tmp_path / f"r{ending}", images=place / "photos")
        assert report.teacher == "reduced:4:pixels"
        with embedstore.open(tmp_path / "again") as again:
            assert (again.declared, again.fingerprint, again.dim) == (False, small.fingerprint, DIMS)
            assert again.space == small.space
            np.testing.assert_array_equal(again.vectors(NAMES), small.vectors(NAMES))
            answers = [one.query(image=place / "photos" / NAMES[3], top=4) for one in (again, small)]
            assert answers[0] == answers[1]
            assert answers[0][0].id == NAMES[3]
    shutil.copytree(place / "small", tmp_path / "small")
    shutil.copytree(place / "photos", tmp_path / "photos")
    write_pictures(tmp_path / "photos", ["good/new.png"], seed=1)
    for store in ("again", "small"):
        report_of_build = embedstore.build(tmp_path / store, tmp_path / "photos")
        assert (report_of_build.new, report_of_build.samples) == (1, len(NAMES) + 1)
    with embedstore.open(tmp_path / "again") as again, embedstore.open(tmp_path / "small") as small:
        np.testing.assert_array_equal(again.vectors(["good/new.png"]), small.vectors(["good/new.png"]))


def test_it_goes_back_into_the_thinned_store(place: Path, tmp_path: Path) -> None:
    embedstore.thin(place / "s", tmp_path / "small", dims=DIMS)
    with embedstore.open(tmp_path / "small") as small:
        export(small, tmp_path / "r.safetensors")
    report = import_vectors(tmp_path / "small", tmp_path / "r.safetensors", replace=True)
    assert (report.replaced, report.unknown_pictures) == (len(NAMES), 0)


def halves(*shape: int, value: float = 0.5) -> str:
    return b64encode(np.full(shape, value, "<f2").tobytes()).decode()


FORGED: dict[str, Any] = {
    "no mapping": "axes",
    "nothing": {},
    "a number for a name": {"teacher": 3},
    "a fingerprint that is none": {"of": "../x"},
    "no base64": {"axes": "é!"},
    "half a number": {"axes": b64encode(b"abc").decode()},
    "a list for bytes": {"axes": [1, 2]},
    "no axes": {"axes": ""},
    "no centre": {"centre": ""},
    "axes of another length": {"axes": halves(7)},
    "as many axes as numbers": {"centre": halves(2), "axes": halves(2, 2)},
    "infinite axes": {"axes": halves(16, 4, value=np.inf)},
    "a centre that is no number": {"centre": halves(16, value=np.nan)},
    "axes of another teacher": {"of": "0" * 32},
    "other axes": {"axes": halves(192, 4)},
}


@pytest.mark.parametrize("case", FORGED)
def test_axes_that_are_none_are_refused(case: str, place: Path) -> None:
    said, forged = about(place), FORGED[case]
    origin = origin_of(said, place)
    assert origin is not None
    assert origin.reduction is not None  # so that it is the change that is refused
    said["reduced"] = said["reduced"] | forged if isinstance(forged, dict) and forged else forged
    with pytest.raises(SourceError, match=r"says of its teacher can't be read; export it again\.$"):
        origin_of(said, place)


def written(path: Path, said: dict[str, Any], dim: int) -> Path:
    """Write a file of one vector that says this of itself."""
    vectors, text = np.full((1, dim), 0.5, np.float16), b"a"
    layout = {"end:id": ("I64", [1]), "vectors": ("F16", [1, dim]), "text:id": ("U8", [1])}
    chunks = [np.array([1], "<i8").tobytes(), vectors.tobytes(), text]
    write_sealed(path, METADATA, {"format": FORMAT, **said}, layout, chunks)
    return path


def test_vectors_that_are_not_on_the_axes_are_refused_and_leave_nothing(place: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "x.safetensors", about(place), DIMS + 1)
    with pytest.raises(
        SourceError, match=r"holds vectors of 5 numbers, but says that they are on 4 axes; export it again"
    ):
        import_vectors(tmp_path / "x", file)
    assert not (tmp_path / "x").exists()


def test_an_early_export_without_axes_is_declared(place: Path, tmp_path: Path) -> None:
    said = about(place)
    del said["reduced"]
    import_vectors(tmp_path / "x", written(tmp_path / "x.safetensors", said, DIMS))
    with embedstore.open(tmp_path / "x") as store:
        assert (store.declared, store.teacher) == (True, "reduced:4:pixels")
        with pytest.raises(
            TeacherMismatchError, match=r"which nobody checked, so no picture or text is embedded for it"
        ):
            store.query(image=place / "photos" / NAMES[0])
    with pytest.raises(TeacherMismatchError, match="which nobody checked"):
        embedstore.build(tmp_path / "x", place / "photos")


def test_a_light_file_is_no_larger_for_them(place: Path, tmp_path: Path) -> None:
    with embedstore.open(place / "small") as small:
        export(small, tmp_path / "light.safetensors", light=LightForm())
    with safe_open(tmp_path / "light.safetensors", framework="numpy") as file:
        (said,) = file.metadata().values()
    assert set(json.loads(said)) >= {"teacher", "fingerprint"}
    assert "reduced" not in json.loads(said)
