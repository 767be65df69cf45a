import csv
import os
import sys
import unicodedata
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from helpers import write_picture

from embedstore.errors import ImagesError, MissingPackageError
from embedstore.images import Listing, Sample, leaves, list_images, sample_id

NAMES = [
    "ひび割れ/写真 1.png",
    'with space/it\'s "quoted".png',
    "😀/🔩.png",
    "ok/ümläut.PNG",
    "comma, semi;colon/a=b&c.png",
]


def fill(root: Path, *names: str) -> Path:
    for name in names:
        write_picture(root / name)
    return root


def write_csv(path: Path, header: list[str], *rows: list[str], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_parquet(path: Path, header: list[str], *rows: list[str | None]) -> Path:
    columns = {name: pyarrow.array([row[at] for row in rows], pyarrow.string()) for at, name in enumerate(header)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def ids(listing: Listing) -> list[str]:
    return [sample.id for sample in listing.samples]


# Folder trees


def test_folder_name_is_the_label_and_samples_are_sorted_by_id(tmp_path):
    fill(tmp_path, "good/b.png", "crack/2024/x.jpg", "good/a.png", "loose.png")
    assert list_images(tmp_path).samples == [
        Sample("crack/2024/x.jpg", "crack/2024/x.jpg", label="2024"),
        Sample("good/a.png", "good/a.png", label="good"),
        Sample("good/b.png", "good/b.png", label="good"),
        Sample("loose.png", "loose.png", label=None),
    ]


def test_a_folder_tree_gives_labels_and_nothing_else(tmp_path):
    (sample,) = list_images(fill(tmp_path, "good/a.png")).samples
    assert sample.given == {"label"}
    assert (sample.mode, sample.group, sample.split, dict(sample.attributes)) == (None, None, None, {})


@pytest.mark.parametrize("name", NAMES)
def test_unusual_names_work_in_a_folder_tree(tmp_path, name):
    (sample,) = list_images(fill(tmp_path, name)).samples
    assert (sample.id, sample.uri, sample.label) == (name, name, name.split("/")[0])
    assert (tmp_path / sample.uri).is_file()


def test_ids_and_labels_are_nfc_while_the_uri_is_as_on_disk(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Gerät/プレート.png")
    composed = unicodedata.normalize("NFC", decomposed)
    assert decomposed != composed
    (sample,) = list_images(fill(tmp_path, decomposed)).samples
    assert (sample.id, sample.uri, sample.label) == (composed, decomposed, "Gerät")
    assert sample_id(decomposed) == composed


def test_names_that_differ_only_in_normalisation_are_refused(tmp_path):
    fill(tmp_path, unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png"))
    with pytest.raises(
        ImagesError, match=r"File names differ only in how Unicode spells them \('é\.png'\); rename one"
    ):
        list_images(tmp_path)


def test_hidden_files_and_folders_are_absent(tmp_path):
    fill(tmp_path, "good/a.png", "good/._a.png", ".cache/b.png")
    listing = list_images(tmp_path)
    assert ids(listing) == ["good/a.png"]
    assert not listing.unreadable
    assert not listing.ignored


def test_other_files_are_counted_by_ending(tmp_path):
    fill(tmp_path, "good/a.png")
    for name in ("notes.txt", "good/more.TXT", "good/README", "good/data.csv"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    listing = list_images(tmp_path)
    assert ids(listing) == ["good/a.png"]
    assert listing.ignored == {".txt": 2, "": 1, ".csv": 1}


def test_links_are_followed_inside_the_root_and_set_aside_outside(tmp_path):
    root, outside = tmp_path / "root", write_picture(tmp_path / "secret.png")
    fill(root, "good/a.png")
    (root / "good" / "inside.png").symlink_to(root / "good" / "a.png")
    (root / "good" / "leak.png").symlink_to(outside)
    (root / "good" / "nowhere.png").symlink_to(root / "absent.png")
    (root / "good" / "circle.png").symlink_to(root / "good" / "circle.png")
    (root / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    listing = list_images(root)
    assert ids(listing) == ["good/a.png", "good/inside.png"]
    assert listing.unreadable == {
        "good/leak.png": "it is a link that leads outside of the image folder",
        "good/nowhere.png": "it is no regular file, or a link that leads nowhere",
        "good/circle.png": "it is no regular file, or a link that leads nowhere",
        "elsewhere": "it is a link to a folder; such links are not followed",
    }


LEAVING = [
    "../x.png", "a/../../x.png", "a/../x.png", "..", "/x.png", "//host/x.png", "C:\\x.png", "C:x.png", "c:/x.png", "\\x.png",
    "\\\\host\\share\\x.png", "\\\\?\\C:\\x.png", "a\\..\\x.png", "..\\x.png", "a/b\\..\\x.png", "", ".", "a\0b.png",
]  # fmt: skip


@pytest.mark.parametrize("uri", LEAVING)
def test_a_path_that_leaves_the_folder_on_some_system(uri):
    assert leaves(uri)


@pytest.mark.parametrize(
    "uri", ["a.png", "a/b.png", "..png", "a..b/c..png", "部品/<b>.png", "a\\b.png", " .png", "a/./b.png", "a/b:c.png"]
)
def test_a_path_that_stays_in_the_folder(uri):
    assert not leaves(uri)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_would_leave_the_folder_on_windows_are_set_aside(tmp_path):
    """So that whatever is built can be shown and trained from, also elsewhere."""
    fill(tmp_path, "a.png", "c:d.png", "\\e.png", "f\\..\\g.png", "h\\i.png", "good/j:k.png")
    listing = list_images(tmp_path)
    assert ids(listing) == ["a.png", "good/j:k.png", "h\\i.png"]
    assert listing.unreadable == dict.fromkeys(
        ["c:d.png", "\\e.png", "f\\..\\g.png"], "its path leads out of the image folder on Windows; rename it"
    )


def test_a_root_that_is_itself_a_link_works(tmp_path):
    fill(tmp_path / "real", "good/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert ids(list_images(tmp_path / "link")) == ["good/a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_set_aside_since_reading_it_would_wait_for_ever(tmp_path):
    os.mkfifo(fill(tmp_path, "good/a.png") / "good" / "pipe.png")
    assert list_images(tmp_path).unreadable == {"good/pipe.png": "it is no regular file, or a link that leads nowhere"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a file name")
def test_names_that_are_not_utf8_are_set_aside_one_by_one(tmp_path):
    fill(tmp_path, "good/a.png")
    for name in (b"\xff.png", b"\xfe.png"):
        Path(os.fsdecode(os.fsencode(tmp_path / "good") + b"/" + name)).write_bytes(b"x")
    listing = list_images(tmp_path)
    assert ids(listing) == ["good/a.png"]
    reason = "its name is not valid UTF-8; rename it"
    assert listing.unreadable == {r"good/\xff.png": reason, r"good/\xfe.png": reason}


def test_a_folder_that_can_not_be_read_stops_the_listing(tmp_path, monkeypatch):
    fill(tmp_path, "good/a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImagesError, match=r"locked' can't be read: Permission denied; check its permissions\."):
        list_images(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(
        ImagesError, match=r"The image folder '.*gone' does not exist; give the folder that holds the images\."
    ):
        list_images(tmp_path / "gone")


def test_a_file_in_place_of_the_folder(tmp_path):
    with pytest.raises(ImagesError, match=r"a\.png' is a file; give the folder"):
        list_images(write_picture(tmp_path / "a.png"))


def test_empty_folder(tmp_path):
    with pytest.raises(ImagesError, match=r"No images under '.*'; expected files ending in \.bmp, .*\.webp\."):
        list_images(tmp_path)


def test_a_folder_without_pictures_tells_what_it_holds(tmp_path):
    for name in ("a.docx", "b.docx", "README"):
        (tmp_path / name).touch()
    with pytest.raises(ImagesError, match=r"No images under '.*' \(it holds 2 x '\.docx', 1 x 'no ending'\); expected"):
        list_images(tmp_path)


# Manifests

HEADER = ["path", "label", "id", "mode", "group", "split", "line", "note"]
ROWS = [
    ["b.png", "good", "", "", "part-2", "train", "3", ""],
    ["sub/a.png", "", "first", "crack", "part-1", "aside", "4", 'said "no", 駄目'],
    ["sub/c.png", "bad", "", "", "", "", "", ""],
]
EXPECTED = [
    Sample("b.png", "b.png", "good", None, "part-2", "train", {"line": "3"}),
    Sample("first", "sub/a.png", None, "crack", "part-1", "aside", {"line": "4", "note": 'said "no", 駄目'}),
    Sample("sub/c.png", "sub/c.png", "bad", None, None, None, {}),
]
GIVEN = frozenset({"label", "mode", "group", "split", "line", "note"})


def manifest_forms(folder: Path) -> list[Path]:
    nulls = [[cell or None for cell in row] for row in ROWS]
    return [
        write_csv(folder / "plain.csv", HEADER, *ROWS),
        write_csv(folder / "with_mark.csv", HEADER, *ROWS, encoding="utf-8-sig"),
        write_csv(folder / "blanks.csv", [f" {name} " for name in HEADER], *[[f" {c} " for c in row] for row in ROWS]),
        write_csv(folder / "unnamed.csv", [*HEADER, "", ""], *[[*row, "", ""] for row in ROWS]),
        write_parquet(folder / "nulls.parquet", HEADER, *nulls),
        write_parquet(folder / "empty.PARQUET", HEADER, *ROWS),
    ]


def test_csv_and_parquet_give_the_same_samples(tmp_path):
    root = fill(tmp_path / "images", *[row[0] for row in ROWS])
    expected = [Sample(**{**vars(sample), "given": GIVEN}) for sample in EXPECTED]
    for manifest in manifest_forms(tmp_path):
        assert list_images(root, manifest).samples == expected, manifest.name


def test_without_a_label_column_the_parent_folder_is_the_label(tmp_path):
    root = fill(tmp_path, "good/a.png", "b.png")
    listing = list_images(root, write_csv(tmp_path / "m.csv", ["path", "group"], ["good/a.png", "1"], ["b.png", "2"]))
    assert {sample.uri: sample.label for sample in listing.samples} == {"good/a.png": "good", "b.png": None}
    assert {sample.given for sample in listing.samples} == {frozenset({"label", "group"})}


def test_a_label_column_wins_over_the_folder_and_an_empty_cell_is_no_label(tmp_path):
    root = fill(tmp_path, "good/a.png", "good/b.png")
    listing = list_images(
        root, write_csv(tmp_path / "m.csv", ["path", "label"], ["good/a.png", ""], ["good/b.png", "x"])
    )
    assert {sample.uri: sample.label for sample in listing.samples} == {"good/a.png": None, "good/b.png": "x"}


def test_parquet_numbers_become_text(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    table = pyarrow.table({"path": ["a.png", "b.png"], "group": [7, None], "score": [0.5, 1.0]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    first, second = list_images(tmp_path, tmp_path / "m.parquet").samples
    assert (first.group, dict(first.attributes)) == ("7", {"score": "0.5"})
    assert (second.group, dict(second.attributes)) == (None, {"score": "1.0"})


@pytest.mark.parametrize("name", NAMES)
def test_unusual_names_work_in_a_manifest(tmp_path, name):
    root = fill(tmp_path, name)
    (sample,) = list_images(root, write_csv(tmp_path / "m.csv", ["path"], [name])).samples
    assert (sample.id, sample.uri, sample.label) == (name, name, name.split("/")[0])


def test_ids_and_labels_of_a_manifest_are_nfc(tmp_path):
    root = fill(tmp_path, unicodedata.normalize("NFD", "é.png"))
    row = [unicodedata.normalize("NFD", cell) for cell in ("é.png", "ガ", "ß ö")]
    (sample,) = list_images(root, write_csv(tmp_path / "m.csv", ["path", "label", "id"], row)).samples
    assert sample.uri == unicodedata.normalize("NFD", "é.png")
    assert (sample.label, sample.id) == tuple(unicodedata.normalize("NFC", text) for text in ("ガ", "ß ö"))


def test_backslashes_of_windows_and_needless_parts_are_understood(tmp_path):
    root = fill(tmp_path, "good/a.png", "good/b.png", r"odd\name.png")
    manifest = write_csv(tmp_path / "m.csv", ["path"], [r"good\a.png"], ["./good//b.png"], [r"odd\name.png"])
    assert [sample.uri for sample in list_images(root, manifest).samples] == [
        "good/a.png",
        "good/b.png",
        r"odd\name.png",
    ]


def test_a_link_inside_the_root_works_in_a_manifest(tmp_path):
    root = fill(tmp_path, "a.png")
    (root / "link.png").symlink_to(root / "a.png")
    assert ids(list_images(root, write_csv(tmp_path / "m.csv", ["path"], ["link.png"]))) == ["link.png"]


def test_missing_manifest(tmp_path):
    with pytest.raises(ImagesError, match=r"The manifest '.*m\.csv' does not exist; give a \.csv or \.parquet file\."):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.csv")


@pytest.mark.parametrize("text", ["", "path,label\n"])
def test_a_manifest_without_rows(tmp_path, text):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ImagesError, match=r"The manifest '.*' has no rows; give one row per image\."):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.csv")


def test_no_path_column(tmp_path):
    manifest = write_csv(tmp_path / "m.csv", ["file", "label"], ["a.png", "good"])
    with pytest.raises(
        ImagesError, match=r"has no column 'path' \(its columns: file, label\); add one with each image's path"
    ):
        list_images(fill(tmp_path, "a.png"), manifest)


def test_a_column_given_twice(tmp_path):
    with pytest.raises(ImagesError, match=r"has the column 'label' more than once; delete all but one\."):
        list_images(
            fill(tmp_path, "a.png"), write_csv(tmp_path / "m.csv", ["path", "label", "label "], ["a.png", "x", "y"])
        )


def test_absent_files_are_counted_and_the_first_named(tmp_path):
    root = fill(tmp_path, "a.png")
    long_name = "n" * 300 + ".png"
    rows = [[name] for name in ("a.png", "b.png", "c.png", long_name, "d.png")]
    with pytest.raises(
        ImagesError, match=r"4 of the 5 files in the manifest .* are not under .* \('b\.png', 'c\.png', .*, \.\.\.\)"
    ):
        list_images(root, write_csv(tmp_path / "m.csv", ["path"], *rows))


def test_a_folder_or_a_circle_of_links_is_no_file(tmp_path):
    root = fill(tmp_path, "good/a.png")
    (root / "circle.png").symlink_to(root / "circle.png")
    with pytest.raises(ImagesError, match=r"2 of the 2 files .* \('good', 'circle\.png'\)"):
        list_images(root, write_csv(tmp_path / "m.csv", ["path"], ["good"], ["circle.png"]))


def test_duplicate_ids(tmp_path):
    root = fill(tmp_path, "a.png", "b.png")
    manifest = write_csv(tmp_path / "m.csv", ["path", "id"], ["a.png", "same"], ["b.png", "same"])
    with pytest.raises(ImagesError, match=r"gives 1 ids more than once \('same'\); make each id unique\."):
        list_images(root, manifest)


def test_one_path_twice_under_different_spellings(tmp_path):
    with pytest.raises(ImagesError, match=r"gives 1 ids more than once \('a\.png'\)"):
        list_images(fill(tmp_path, "a.png"), write_csv(tmp_path / "m.csv", ["path"], ["a.png"], ["./a.png"]))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "good/../good/a.png",
        "good/../../secret.png",
        r"..\secret.png",
        "C:/secret.png",
        r"C:\secret.png",
        r"\\host\x.png",
        r"\x.png",
    ],
)
def test_paths_that_leave_the_root(tmp_path, path):
    write_picture(tmp_path / "secret.png")
    root = fill(tmp_path / "root", "good/a.png")
    with pytest.raises(
        ImagesError, match=r"in row 3 of '.*' leads out of '.*root'; paths must be relative and stay inside\."
    ):
        list_images(root, write_csv(tmp_path / "m.csv", ["path"], ["good/a.png"], [path]))


def test_absolute_paths_are_refused_even_inside_the_root(tmp_path):
    root = fill(tmp_path, "a.png")
    with pytest.raises(ImagesError, match=r"leads out of"):
        list_images(root, write_csv(tmp_path / "m.csv", ["path"], [str(root / "a.png")]))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_that_leave_the_root(tmp_path, kind):
    write_picture(tmp_path / "outside" / "secret.png")
    root = fill(tmp_path / "root", "a.png")
    if kind == "file":
        (root / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    else:
        (root / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    path = "link.png" if kind == "file" else "link/secret.png"
    with pytest.raises(ImagesError, match=rf"The path '{path}' in row 2 of '.*' leads out of"):
        list_images(root, write_csv(tmp_path / "m.csv", ["path"], [path]))


@pytest.mark.parametrize("path", ["", "."])
def test_an_empty_path(tmp_path, path):
    manifest = write_csv(tmp_path / "m.csv", ["path", "label"], ["a.png", "x"], [path, "x"])
    with pytest.raises(ImagesError, match=r"The path in row 3 of '.*' is empty; give each image's path"):
        list_images(fill(tmp_path, "a.png"), manifest)


def test_an_unknown_split(tmp_path):
    manifest = write_csv(tmp_path / "m.csv", ["path", "split"], ["a.png", "Training"])
    with pytest.raises(
        ImagesError, match=r"The split 'Training' in row 2 of '.*' is unknown; use one of train, val, test, aside"
    ):
        list_images(fill(tmp_path, "a.png"), manifest)


def test_a_manifest_that_is_not_utf8(tmp_path):
    (tmp_path / "m.csv").write_bytes("path,label\na.png,ひび\n".encode("shift_jis"))
    with pytest.raises(ImagesError, match=r"is not UTF-8 \(byte 17\); save it as 'CSV UTF-8', which Excel offers\."):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.csv")


@pytest.mark.parametrize("row", ["a.png,good,extra", "a.png"])
def test_a_ragged_row(tmp_path, row):
    (tmp_path / "m.csv").write_text(f"path,label\na.png,good\n{row}\n", encoding="utf-8")
    with pytest.raises(
        ImagesError, match=r"Row 3 of '.*' does not have the 2 cells of the header; put a text that contains"
    ):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.csv")


def test_broken_quotes(tmp_path):
    (tmp_path / "m.csv").write_text('path,label\n"a.png"x,good\n', encoding="utf-8")
    with pytest.raises(ImagesError, match=r"is no CSV file: .*; save it as CSV with commas\."):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.csv")


def test_damaged_parquet(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(ImagesError, match=r"m\.parquet' can't be read as Parquet \(.*\); write it again\."):
        list_images(fill(tmp_path, "a.png"), tmp_path / "m.parquet")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    manifest = write_parquet(tmp_path / "m.parquet", ["path"], ["a.png"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingPackageError, match=r"needs pyarrow: pip install 'embedstore\[parquet\]', or give a \.csv"
    ):
        list_images(fill(tmp_path, "a.png"), manifest)


def test_a_manifest_in_another_unicode_form_than_the_disk_finds_its_files(tmp_path: Path) -> None:
    on_disk = unicodedata.normalize("NFD", "ガラス/é.png")
    root = fill(tmp_path / "photos", on_disk)
    manifest = tmp_path / "m.csv"
    manifest.write_text("path\n" + unicodedata.normalize("NFC", on_disk) + "\n", "utf-8")
    (sample,) = list_images(root, manifest).samples
    assert sample.uri == on_disk
    assert sample.id == unicodedata.normalize("NFC", on_disk)


def test_a_file_may_not_be_two_samples(tmp_path: Path) -> None:
    root = fill(tmp_path / "photos", "a.png", "b.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,id\na.png,one\na.png,two\nb.png,three\n", "utf-8")
    with pytest.raises(ImagesError, match=r"gives 1 files more than once \('a.png'\); one row is one picture"):
        list_images(root, manifest)
