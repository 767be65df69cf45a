"""A folder as clip-retrieval writes it, made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from embedstore.errors import SourceError, TeacherMismatchError
from embedstore.imports import import_vectors, open_source
from embedstore.imports.source import Batch, Options

pa = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
pq = pytest.importorskip("pyarrow.parquet")

SIZES = {2: 3, 9: 1, 10: 2}  # rows of each part; a part without pictures, such as 3, is not written


def vectors(part: int, count: int, kind: int) -> npt.NDArray[np.float16]:
    """Return vectors that tell where they are from."""
    rows = [[part, row, kind] for row in range(count)]
    return np.array(rows, np.float16).reshape(count, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three parts with pictures, captions and metadata; by their names, 10 would come before 2."""
    root = tmp_path / "embeddings"
    for name in ("img_emb", "text_emb", "metadata"):
        (root / name).mkdir(parents=True)
    for part, count in SIZES.items():
        np.save(root / "img_emb" / f"img_emb_{part}.npy", vectors(part, count, 1))
        np.save(root / "text_emb" / f"text_emb_{part}.npy", vectors(part, count, 2))
        rows = {
            "image_path": [f"photos/{part}/{row}.jpg" for row in range(count)],
            "caption": pa.array([f"a tile, {row}" for row in range(count)]).dictionary_encode(),
            "exif.width": [640 if row else None for row in range(count)],
        }
        # Of dictionaries, Arrow gives one batch for each group of rows.
        pq.write_table(pa.table(rows), root / "metadata" / f"metadata_{part}.parquet", row_group_size=1)
    (root / "img_emb" / "img_emb_2.npy.tmp").write_bytes(b"another program's")
    return root


def all_rows(folder: Path, **options: Any) -> Batch:
    """Return all batches as one."""
    batches = list(open_source(folder, Options(**options)).batches())
    fields = {name: [text for batch in batches for text in batch.fields[name]] for name in batches[0].fields}
    ids = [name for batch in batches for name in batch.ids]
    return Batch(ids, np.concatenate([batch.vectors for batch in batches]), fields)


def test_parts_come_in_the_order_of_their_numbers(folder: Path) -> None:
    source = open_source(folder)
    assert (source.count, source.dim, source.left_out) == (6, 3, ())
    found = all_rows(folder)
    assert found.vectors.tolist() == [[2, 0, 1], [2, 1, 1], [2, 2, 1], [9, 0, 1], [10, 0, 1], [10, 1, 1]]
    assert found.ids == [f"photos/{part}/{row}.jpg" for part, count in SIZES.items() for row in range(count)]
    assert found.fields == {
        "path": found.ids,
        "caption": [f"a tile, {row}" for count in SIZES.values() for row in range(count)],
        "exif.width": [None, "640", "640", None, None, "640"],
    }


def test_the_embeddings_of_captions_are_taken_when_named(folder: Path) -> None:
    assert all_rows(folder, column="text_emb").vectors[:, 2].tolist() == [2] * 6
    with pytest.raises(
        SourceError, match=r"^'.*embeddings' has no 'audio/audio_0\.npy'; give a folder that clip-retrieval wrote"
    ):
        open_source(folder, Options(column="audio"))


def test_paths_become_relative_to_the_pictures(folder: Path) -> None:
    found = all_rows(folder, images=Path("photos"))
    assert found.ids[:2] == ["2/0.jpg", "2/1.jpg"] == found.fields["path"][:2]


def test_numbers_may_begin_with_zeros(folder: Path) -> None:
    before = all_rows(folder)
    for path in [*folder.glob("*/*_2.*"), *folder.glob("*/*_9.*")]:
        path.rename(path.with_name(path.name.replace("_2.", "_02.").replace("_9.", "_09.")))
    found = all_rows(folder)
    assert (found.ids, found.fields, found.vectors.tolist()) == (before.ids, before.fields, before.vectors.tolist())


def test_captions_without_pictures_are_numbered(folder: Path) -> None:
    for part, count in SIZES.items():
        rows = {"caption": [f"no {row}" for row in range(count)]}
        pq.write_table(pa.table(rows), folder / "metadata" / f"metadata_{part}.parquet")
    found = all_rows(folder, column="text_emb")
    assert found.ids == [
        "text_emb_2/0",
        "text_emb_2/1",
        "text_emb_2/2",
        "text_emb_9/0",
        "text_emb_10/0",
        "text_emb_10/1",
    ]


def test_parts_that_do_not_fit_together_are_refused(folder: Path) -> None:
    metadata = folder / "metadata" / "metadata_9.parquet"
    metadata.rename(folder / "metadata" / "metadata_8.parquet")
    with pytest.raises(
        SourceError, match=r"^'.*metadata_8\.parquet' has no counterpart in '.*img_emb'; copy the folder again\.$"
    ):
        open_source(folder)
    (folder / "metadata" / "metadata_8.parquet").unlink()
    with pytest.raises(SourceError, match=r"^'.*img_emb_9\.npy' has no counterpart in '.*metadata'; copy"):
        open_source(folder)
    pq.write_table(pa.table({"image_path": ["a", "b"]}), metadata)
    with pytest.raises(SourceError, match=r"^'.*img_emb_9\.npy' has 1 vectors, but '.*metadata_9\.parquet' has 2 rows"):
        open_source(folder)
    pq.write_table(pa.table({"image_path": ["a"]}), metadata)
    np.save(folder / "img_emb" / "img_emb_9.npy", np.ones((1, 4), np.float16))
    with pytest.raises(
        SourceError, match=r"^'.*img_emb_9\.npy' has vectors of 4 numbers, but '.*img_emb_2\.npy' of 3; all"
    ):
        open_source(folder)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"has no 'img_emb/img_emb_0\.npy'; give a folder that clip-retrieval wrote, or a \.npy"
    ):
        open_source(tmp_path)


def test_a_csv_beside_it_is_refused(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"has its fields in its folder 'metadata'; leave --fields out\.$"):
        open_source(folder, Options(fields=folder / "x.csv"))


def test_captions_are_not_mixed_with_pictures(folder: Path, tmp_path: Path) -> None:
    import_vectors(tmp_path / "s", folder, teacher="clip")
    with pytest.raises(TeacherMismatchError, match="declared to be of 'clip text_emb'"):
        import_vectors(tmp_path / "s", folder, teacher="clip", column="text_emb", replace=True)
