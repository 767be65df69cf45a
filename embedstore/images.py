"""Where samples come from: a folder tree (the folder's name is the label), or a CSV or Parquet manifest."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from embedstore.errors import ImagesError, MissingPackageError

PICTURE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
SPLITS = ("train", "val", "test", "aside")
FIELDS = ("label", "mode", "group", "split")
COLUMNS = ("id", "path", *FIELDS)  # of every manifest and file; any other is an attribute
ABSENT = "its file is not there"
NOT_UTF8 = "its name is not valid UTF-8; rename it"


@dataclass(frozen=True)
class Sample:
    """One image as its source describes it.

    `uri` is the path relative to the image root in POSIX form, as found on disk; `id` is the manifest's own, or the
    `uri` in Unicode NFC. A field the source does not speak of is not in `given`, so that a folder tree, which knows no
    splits, never erases the splits that a store already has.
    """

    id: str
    uri: str
    label: str | None = None
    mode: str | None = None
    group: str | None = None
    split: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset({"label"})

    @property
    def part(self) -> str:
        """The physical part that it shows: its group, or where it has none, a part of its own."""
        return part_of(self.id, self.group)


def part_of(sample_id: str, group: str | None) -> str:
    """Return the physical part that a sample shows: its group, or where it has none, a part of its own."""
    return f"group\0{group}" if group is not None else f"sample\0{sample_id}"


@dataclass(frozen=True)
class Listing:
    """What a source offers: the samples sorted by id, and what was passed over, never silently.

    Files and folders whose name begins with a dot are another program's and count as absent.
    """

    root: Path
    samples: list[Sample]
    unreadable: dict[str, str]  # path -> why it can't become a sample
    ignored: Counter[str]  # ending of files that are not pictures -> how many


def list_images(
    root: str | os.PathLike[str],
    manifest: str | os.PathLike[str] | None = None,
    *,
    uris: Sequence[str] | None = None,
    known: Callable[[], Collection[str]] | None = None,
) -> Listing:
    """List the samples of a folder tree, or those that a manifest names.

    Args:
        root: the folder that holds the images.
        manifest: a `.csv` or `.parquet` file with a column `path` (relative to `root`), and optionally `label`, `id`,
            `mode`, `group`, `split` and any other column, which becomes an attribute. Without a `label` column the
            label is the parent folder's name; an empty cell is a missing label.
        uris: list only what lies at or below these paths, relative to `root`; all where not given.
        known: gives the ids that a store has, and those that its paths would have. Where given, rows of a manifest that are
            not among them and whose files are absent are told as unreadable (`ABSENT`), unless they are more than half of all.

    Raises:
        ImagesError: the folder or manifest is missing, empty, or names files that are absent, outside `root`, or twice.
    """
    folder = Path(root)
    if not os.path.isdir(folder):  # Path.is_dir raises where a name is too long
        what = "is a file" if os.path.exists(folder) else "does not exist"
        raise ImagesError(f"The image folder '{folder}' {what}; give the folder that holds the images.")
    if not _is_utf8(str(folder.resolve())):
        raise ImagesError(f"The path of the image folder {os.fsencode(folder)!r} is not valid UTF-8; rename it.")
    listing = (
        _read_folder(folder, uris or (".",)) if manifest is None else _read_manifest(folder, Path(manifest), known)
    )
    if not listing.samples and not listing.unreadable:
        if manifest is not None:
            raise ImagesError(f"The manifest '{manifest}' has no rows; give one row per image.")
        seen = f" (it holds {_count_endings(listing.ignored)})" if listing.ignored else ""
        where = f"'{folder}'" if uris is None else " or ".join(f"'{folder / uri}'" for uri in list(uris)[:3])
        raise ImagesError(f"No images under {where}{seen}; expected files ending in {_endings()}.")
    if manifest is not None and uris is not None:
        listing = _only_below(listing, uris, manifest)
    _refuse_duplicates(listing.samples, manifest)
    listing.samples.sort(key=lambda sample: sample.id)
    return listing


def sample_id(uri: str) -> str:
    """Return the id that a path has where no manifest gives one: POSIX form, Unicode NFC."""
    return unicodedata.normalize("NFC", uri)


def in_utf8(path: str) -> str:
    """Return a path as text that can be written; bytes of it that are not UTF-8 are spelt out, so that it is another one then."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def near_miss(columns: Collection[str]) -> tuple[str, str] | None:
    """Return the first column that has a known one's name but for capitals and blanks, and that name; None where none has.

    Where the known one is there too, the other is an attribute.
    """
    for column in columns:
        known = column.strip().casefold()
        if known in COLUMNS and known not in columns:
            return column, known
    return None


def leaves(uri: str) -> bool:
    """Return whether a path is none of a file inside of the image folder, whatever the system.

    A store or a file from elsewhere may name an absolute path, `..`, a Windows drive or share, or nothing. Read `root / uri`
    only where this is false. It looks at the path alone, not at where links lead.
    """
    posix, windows = PurePosixPath(uri), PureWindowsPath(uri)
    rooted = posix.is_absolute() or bool(windows.drive or windows.root)
    return rooted or ".." in (*posix.parts, *windows.parts) or "\0" in uri or not posix.parts


def _read_folder(root: Path, uris: Iterable[str] = (".",)) -> Listing:
    """List what lies at or below some paths (relative to the root), each file once."""
    samples: list[Sample] = []
    unreadable: dict[str, str] = {}
    ignored: Counter[str] = Counter()
    real_root = _real(root)
    seen: set[Path] = set()

    def refuse(error: OSError) -> None:
        raise ImagesError(f"The folder '{error.filename}' can't be read: {error.strerror}; check its permissions.")

    def look_at(path: Path) -> None:
        if path in seen:
            return
        seen.add(path)
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            ignored[path.suffix.lower()] += 1
            return
        uri = path.relative_to(root).as_posix()
        if not _is_utf8(uri):
            unreadable[_shown(path, root)] = NOT_UTF8
        elif leaves(uri):  # such as 'a:b.png'
            unreadable[uri] = "its path leads out of the image folder on Windows; rename it"
        elif not os.path.isfile(path):
            unreadable[uri] = "it is no regular file, or a link that leads nowhere"
        elif path.is_symlink() and not _real(path).is_relative_to(real_root):
            unreadable[uri] = "it is a link that leads outside of the image folder"
        else:
            samples.append(Sample(sample_id(uri), uri, label=_parent_label(uri)))

    for start in (root / uri for uri in uris):
        if not os.path.isdir(start):
            look_at(start)
            continue
        for folder, subfolders, names in os.walk(start, onerror=refuse):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for path in (Path(folder, name) for name in subfolders):
                if path.is_symlink():
                    unreadable[_shown(path, root)] = "it is a link to a folder; such links are not followed"
            for name in names:
                if not name.startswith("."):
                    look_at(Path(folder, name))
    return Listing(root, samples, unreadable, ignored)


def _read_manifest(root: Path, manifest: Path, known: Callable[[], Collection[str]] | None) -> Listing:
    rows = _manifest_rows(manifest)
    if rows and (miss := near_miss(rows[0])) is not None:
        raise ImagesError(f"The manifest '{manifest}' has a column '{miss[0]}'; did you mean '{miss[1]}'? Rename it.")
    if rows and "path" not in rows[0]:
        raise ImagesError(
            f"The manifest '{manifest}' has no column 'path' (its columns: {', '.join(rows[0])}); add one with each "
            f"image's path relative to '{root}'."
        )
    columns = set(rows[0]) if rows else set()
    given = frozenset({"label"} | (columns & set(FIELDS)) | (columns - set(COLUMNS)))
    samples, absent = [], []
    real_root = _real(root)
    on_disk: dict[str, str] | None = None
    for number, row in enumerate(rows, start=2):  # row 1 is the header, as a spreadsheet shows it
        where = f"row {number} of '{manifest}'"
        uri = _checked_uri(row["path"], root, real_root, where)
        if not os.path.isfile(root / uri):
            if on_disk is None:
                on_disk = _spellings(root)
            uri = _checked_uri(on_disk.get(sample_id(uri), uri), root, real_root, where)
        if not os.path.isfile(root / uri):
            absent.append(uri)
        split = row.get("split") or None
        if split is not None and split not in SPLITS:
            raise ImagesError(
                f"The split '{split}' in {where} is unknown; use one of {', '.join(SPLITS)}, or leave it empty."
            )
        samples.append(
            Sample(
                id=row.get("id") or sample_id(uri),
                uri=uri,
                label=(row["label"] or None) if "label" in columns else _parent_label(uri),
                mode=row.get("mode") or None,
                group=row.get("group") or None,
                split=split,
                attributes={name: row[name] for name in sorted(columns - set(COLUMNS)) if row[name]},
                given=given,
            )
        )
    waiting: dict[str, str] = {}
    if absent:
        away = set(absent)
        names = {*map(sample_id, away), *(sample.id for sample in samples if sample.uri in away)}
        if known is None or 2 * len(absent) > len(rows) or not names.isdisjoint(known()):
            raise ImagesError(
                f"{len(absent)} of the {len(rows)} files in the manifest '{manifest}' are not under '{root}' ({_first(absent)}); "
                "check the image folder and the column 'path', and take these rows out, or wait until the files are there."
            )
        _refuse_duplicates(samples, manifest)  # those that wait count, too
        samples, waiting = [sample for sample in samples if sample.uri not in away], dict.fromkeys(absent, ABSENT)
    return Listing(root, samples, waiting, Counter())


def _only_below(listing: Listing, uris: Sequence[str], manifest: str | os.PathLike[str]) -> Listing:
    """Return the rows of a manifest that lie at or below some paths, of which each must have one."""
    asked = {PurePosixPath(uri) for uri in uris}
    chosen: list[Sample] = []
    met: set[PurePosixPath] = set()
    for sample in listing.samples:
        path = PurePosixPath(sample.uri)
        if above := asked & {path, *path.parents}:
            met |= above
            chosen.append(sample)
    if lacking := [str(path) for path in asked - met]:
        raise ImagesError(
            f"The manifest '{manifest}' has no row for {_first(sorted(lacking))}, relative to '{listing.root}'; add its row, or "
            "leave the manifest out."
        )
    return replace(listing, samples=chosen)


def _manifest_rows(manifest: Path) -> list[dict[str, str]]:
    if not os.path.isfile(manifest):
        raise ImagesError(f"The manifest '{manifest}' does not exist; give a .csv or .parquet file.")
    header, rows = _parquet_rows(manifest) if manifest.suffix.lower() == ".parquet" else _csv_rows(manifest)
    names = {name: unicodedata.normalize("NFC", name.strip()) for name in header}
    twice = sorted(name for name, count in Counter(names[name] for name in header).items() if name and count > 1)
    if twice:
        raise ImagesError(
            f"The manifest '{manifest}' has the column {_first(twice)} more than once; delete all but one."
        )
    return [{names[name]: _cell(names[name], value) for name, value in row.items() if names[name]} for row in rows]


def _csv_rows(manifest: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = reader.fieldnames or (), list(reader)
    except UnicodeDecodeError as error:
        raise ImagesError(
            f"The manifest '{manifest}' is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8', which Excel offers."
        ) from error
    except OSError as error:
        raise ImagesError(
            f"The manifest '{manifest}' can't be read: {error.strerror}; check its permissions."
        ) from error
    except csv.Error as error:
        raise ImagesError(f"The manifest '{manifest}' is no CSV file: {error}; save it as CSV with commas.") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ImagesError(
                f"Row {number} of '{manifest}' does not have the {len(header)} cells of the header; "
                "put a text that contains a comma in quotes."
            )
    return header, rows


def _parquet_rows(manifest: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            "Reading a Parquet manifest needs pyarrow: pip install 'embedstore[parquet]', or give a .csv file."
        ) from error
    try:
        table = pyarrow.parquet.read_table(manifest)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImagesError(f"The manifest '{manifest}' can't be read as Parquet ({error}); write it again.") from error
    rows = table.to_pylist()
    return table.column_names, [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in rows]


def _cell(column: str, text: str) -> str:
    """Return a cell without outer blanks, and in Unicode NFC unless it is a path, which is spelt as on disk."""
    return text.strip() if column == "path" else unicodedata.normalize("NFC", text.strip())


def _spellings(root: Path) -> dict[str, str]:
    """Return each file's path by its NFC form: a Mac spells names in NFD, a spreadsheet does not."""
    found = (Path(folder, name).relative_to(root).as_posix() for folder, _, names in os.walk(root) for name in names)
    return {sample_id(uri): uri for uri in found}


def _checked_uri(text: str, root: Path, real_root: Path, where: str) -> str:
    """Return the path in POSIX form; refuse one that is absolute or leaves the root, by itself or through a link."""
    if "\\" in text and not os.path.exists(root / text):  # a manifest written on Windows
        text = text.replace("\\", "/")
    path = PurePosixPath(text)
    if not path.parts or "\0" in text:
        raise ImagesError(f"The path in {where} is empty; give each image's path relative to '{root}'.")
    if leaves(text) or not _real(root / path).is_relative_to(real_root):
        raise ImagesError(
            f"The path '{text}' in {where} leads out of '{root}'; paths must be relative and stay inside."
        )
    if not _is_utf8(text):
        raise ImagesError(f"The path in {where} is not valid Unicode; rename the file.")
    return str(path)


def _refuse_duplicates(samples: Iterable[Sample], manifest: str | os.PathLike[str] | None) -> None:
    twice = [name for name, count in Counter(sample.id for sample in samples).items() if count > 1]
    if not twice:
        files = [uri for uri, count in Counter(sample.uri for sample in samples).items() if count > 1]
        if files:
            raise ImagesError(
                f"The manifest '{manifest}' gives {len(files)} files more than once ({_first(files)}); one row is one picture."
            )
        return
    if manifest is None:
        raise ImagesError(
            f"File names differ only in how Unicode spells them ({_first(twice)}); rename one of each pair."
        )
    raise ImagesError(
        f"The manifest '{manifest}' gives {len(twice)} ids more than once ({_first(twice)}); make each id unique."
    )


def _parent_label(uri: str) -> str | None:
    name = PurePosixPath(uri).parent.name
    return unicodedata.normalize("NFC", name) or None


def _real(path: Path) -> Path:
    """Return where a path leads; one that leads in a circle stays as it is, where `Path.resolve` would raise."""
    return Path(os.path.realpath(path))


def _shown(path: Path, root: Path) -> str:
    return in_utf8(path.relative_to(root).as_posix())


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _first(names: list[str], most: int = 3) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown


def _endings() -> str:
    return ", ".join(sorted(PICTURE_SUFFIXES))


def _count_endings(ignored: Counter[str]) -> str:
    return ", ".join(f"{count} x '{suffix or 'no ending'}'" for suffix, count in ignored.most_common(5))
