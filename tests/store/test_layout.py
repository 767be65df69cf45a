"""The on-disk format: keys that sort, values that know when they were changed, and CURRENT."""

import contextlib
import errno
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import CorruptStoreError, NotAStoreError, StoreError
from embedstore.store import layout
from embedstore.store.layout import BLOCK, NEVER, Column, Head

SPACE = "00112233445566778899aabbccddeeff"

numbers = st.integers(0, NEVER)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
columns = st.builds(
    Column, st.binary(min_size=16, max_size=16).map(bytes.hex), st.sampled_from(["e", "em", "embedding", "尺"]) | texts,
    st.integers(0, 65535),
)  # fmt: skip
optional = st.none() | st.text(st.characters(codec="utf-8"), max_size=30)

# Keys


def test_the_bytes_of_keys_and_values_are_those_of_format_2() -> None:
    """What is on people's disks: where this fails, FORMAT must rise and old stores must still be read."""
    assert layout.FORMAT == 2
    assert layout.vector_key(Column(SPACE, "embedding", 2), 258).hex() == (
        SPACE + b"embedding\0".hex() + "0002" + "0000000000000102"
    )
    assert layout.field_key(258, 3, 4).hex() == "0102" + "0000000000000003" + "0000000000000004"
    assert layout.version_key(3) == bytes([0, 0, 0, 0, 0, 0, 0, 3])
    assert layout.row_key(258) == bytes([0, 0, 0, 0, 0, 0, 1, 2])
    assert layout.id_key("良品/a.png").hex() == "1d3a91d09dcd7e09a91a3604d1935426"
    assert layout.seal(b"key", b"payload").hex() == b"payload".hex() + "ca6c26b0"
    assert [(name, *layout.ROW.fields[name][::-1]) for name in layout.ROW.names] == [
        ("born", 0, np.dtype("<u8")),
        ("died", 8, np.dtype("<u8")),
        ("key", 16, np.dtype(("u1", 16))),
        ("content", 32, np.dtype(("u1", 16))),
    ]
    present = np.zeros(BLOCK, bool)
    present[[0, 9]] = True
    packed = layout.pack_vectors(b"key", present, np.full((BLOCK, 2), 1, np.float16))
    assert packed == layout.seal(b"key", b"\x80\x40" + bytes(30) + b"\x00\x3c" * 512)


@given(st.integers(0, 2**40), st.integers(0, 2**40), columns)
def test_keys_sort_as_their_numbers_do(a: int, b: int, column: Column) -> None:
    for key in (
        layout.row_key,
        layout.version_key,
        lambda n: layout.vector_key(column, n),
        lambda n: layout.field_key(7, n, 3),
        lambda n: layout.field_key(7, 3, n),
    ):
        assert (key(a) < key(b)) == (a < b)


@given(st.integers(0, 65535), st.integers(0, NEVER), st.integers(0, NEVER), columns)
def test_keys_tell_what_they_were_made_of(number: int, block: int, version: int, column: Column) -> None:
    key = layout.field_key(number, block, version)
    assert (layout.number_of(key), layout.block_of(key), layout.version_of(key)) == (number, block, version)
    assert layout.column_of(layout.vector_key(column, block)) == column


@given(st.lists(columns, min_size=1, max_size=8, unique=True), st.sets(st.integers(0, 2**20), min_size=1, max_size=5))
def test_the_blocks_of_a_column_stand_together_in_order_and_no_two_keys_are_equal(
    several: list[Column], blocks: set[int]
) -> None:
    keyed = {layout.vector_key(column, block): (column, block) for column in several for block in blocks}
    assert len(keyed) == len(several) * len(blocks)
    walked = [keyed[key] for key in sorted(keyed)]
    runs = [(column, [block for _, block in run]) for column, run in itertools.groupby(walked, key=lambda one: one[0])]
    assert len(runs) == len(several)
    assert all(run == sorted(blocks) for _, run in runs)
    for column in several:
        mine = [key for key in keyed if key.startswith(layout.column_prefix(column))]
        assert {keyed[key][0] for key in mine} == {column}
        assert len(mine) == len(blocks)


def test_an_id_of_any_length_gets_a_key_that_lmdb_takes() -> None:
    names = ["a", "a" * 10_000, "欠陥/😀.png", 'it\'s "quoted".png', ""]
    keys = {layout.id_key(name) for name in names}
    assert len(keys) == len(names)
    assert {len(key) for key in keys} == {16}


def test_the_views_of_a_head_are_those_of_its_own_space() -> None:
    own, other = SPACE, SPACE[::-1]
    assert (
        Head(3, own, (Column(own, "embedding", 0), Column(own, "embedding", 2), Column(other, "embedding", 7)), 5).views
        == 2
    )
    assert Head(0, own, (), 0).views == 0


# Values


def test_every_flipped_bit_is_found() -> None:
    key, value = b"some key", layout.seal(b"some key", b"a small value")
    assert layout.unseal(b"rows", key, value) == b"a small value"
    for bit in range(8 * len(value)):
        changed = bytearray(value)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStoreError, match="'rows' fails its checksum"):
            layout.unseal(b"rows", key, bytes(changed))
    for bit in range(8 * len(key)):
        other = bytearray(key)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStoreError):
            layout.unseal(b"rows", bytes(other), value)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=60))
def test_a_value_that_was_written_under_another_key_is_refused(key: bytes, other: bytes, payload: bytes) -> None:
    value = layout.seal(key, payload)
    assert layout.unseal(b"meta", key, value) == payload
    if key != other:
        with pytest.raises(CorruptStoreError):
            layout.unseal(b"meta", other, value)


@pytest.mark.parametrize("value", [b"", b"x", b"abc"])
@pytest.mark.parametrize("check", [True, False])
def test_a_value_too_short_for_a_checksum_is_refused_even_unchecked(value: bytes, check: bool) -> None:
    with pytest.raises(CorruptStoreError):
        layout.unseal(b"meta", b"k", value, check=check)


def test_an_unchecked_value_is_given_as_it_is() -> None:
    assert layout.unseal(b"meta", b"k", b"wrong" + bytes(4), check=False) == b"wrong"


@given(st.lists(optional, min_size=BLOCK, max_size=BLOCK) | st.lists(optional, max_size=9))
def test_a_block_of_texts_comes_back_as_it_was(texts: list[str | None]) -> None:
    padded = (texts + [None] * BLOCK)[:BLOCK]
    known, codes = layout.unpack_field(memoryview(layout.pack_field(padded)))
    assert [None if code < 0 else known[code] for code in codes.tolist()] == padded
    assert len(known) == len({text for text in padded if text is not None})  # each text is kept once


def test_a_block_of_256_different_texts_comes_back() -> None:
    texts = [f"{number}" for number in range(BLOCK)]
    known, codes = layout.unpack_field(memoryview(layout.pack_field(texts)))
    assert (known, codes.tolist()) == (texts, list(range(BLOCK)))


def test_a_block_of_texts_that_this_program_did_not_write_is_refused_or_has_no_text() -> None:
    codes = np.arange(BLOCK).astype("<u2").tobytes()
    for wrong in ({"a": 1}, [1], [b"x"], "ab", None):
        with pytest.raises(CorruptStoreError, match="holds no texts"):
            layout.unpack_field(memoryview(codes + layout.pack(wrong)))
    for noise in (b"\xc1", b"", b"\xa1\xff"):
        with pytest.raises(CorruptStoreError, match="is no msgpack"):
            layout.unpack_field(memoryview(codes + noise))
    assert layout.unpack_field(memoryview(codes + layout.pack(["a", "b"])))[1].tolist() == [0, 1] + [-1] * 254


@given(st.data(), st.integers(1, 9))
def test_vectors_come_back_bit_by_bit(data: st.DataObject, dim: int) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    vectors = random.integers(0, 2**16, (BLOCK, dim), np.uint16).view(np.float16)  # NaN and infinities among them
    present = random.random(BLOCK) < random.random()
    sealed = layout.pack_vectors(b"key", present, vectors)
    found, values = layout.unpack_vectors(layout.unseal(b"vectors", b"key", sealed))
    assert (found == present).all()
    assert values.tobytes() == vectors.tobytes()


def test_rows_that_nobody_owns_are_part_of_no_version() -> None:
    rows = layout.empty_rows()
    assert len(rows) == BLOCK
    assert set(rows["born"]) == set(rows["died"]) == {np.uint64(NEVER)}
    assert not rows["key"].any()


# CURRENT


def test_current_names_the_generation_that_was_written(tmp_path: Path) -> None:
    layout.write_current(tmp_path, "0007")
    assert layout.read_current(tmp_path) == tmp_path / "generations" / "0007"
    layout.write_current(tmp_path, "0008")
    assert layout.read_current(tmp_path) == tmp_path / "generations" / "0008"
    assert os.listdir(tmp_path) == ["CURRENT"]


def test_no_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match=r"nowhere' does not exist; make one with: embedstore build "):
        layout.read_current(tmp_path / "nowhere")


def test_a_directory_or_file_without_current_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAStoreError, match=r"empty' is not a store; make one with: embedstore build "):
        layout.read_current(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    for path, what in ((tmp_path, "a directory of other files"), (tmp_path / "file", "a file")):
        with pytest.raises(
            NotAStoreError, match=f"is not a store but {what}; give the path .* elsewhere with: embedstore build"
        ):
            layout.read_current(path)  # where a build would be refused, too


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "7",
        "{}",
        '{"format": 1}',
        '{"generation": "0001"}',
        '{"format": 2, "generation": 1}',
        '{"format": 2, "generation": ""}',
        '{"format": 2, "generation": "../x"}',
        '{"format": 2, "generation": "/etc"}',
        '{"format": 2, "generation": "0001/../../.."}',
        '{"format": 2, "generation": "0001\\n"}',
        '{"format": 2, "generation": "123456789"}',
        '{"format": 2, "generation": ["0001"]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_or_hostile_current_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "CURRENT").write_text(text)
    with pytest.raises(
        CorruptStoreError,
        match=r"CURRENT' (is damaged|names no generation); see what mends it with: embedstore verify '.*'$",
    ):
        layout.read_current(tmp_path)


def test_a_current_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptStoreError, match="can't be read"):
        layout.read_current(tmp_path)
    (tmp_path / "CURRENT").unlink()
    (tmp_path / "CURRENT").mkdir()
    with pytest.raises(CorruptStoreError, match="can't be read"):
        layout.read_current(tmp_path)


@pytest.mark.parametrize("found", [0, 3, "2", "1", True, None, [2]])
def test_another_format_version_is_refused_naming_both(tmp_path: Path, found: object) -> None:
    (tmp_path / "CURRENT").write_text(json.dumps({"format": found, "generation": "0001"}))
    with pytest.raises(StoreError, match="this program reads version 2; use the release that wrote it") as caught:
        layout.read_current(tmp_path)
    assert f"has format version {found}," in str(caught.value)
    assert not isinstance(caught.value, CorruptStoreError)


def test_a_format_that_can_be_upgraded_is_refused_with_the_command_that_does_it(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text(json.dumps({"format": 1, "generation": "0001"}))
    with pytest.raises(StoreError) as caught:
        layout.read_current(tmp_path)
    assert str(caught.value) == (
        f"The store '{tmp_path}' was written by an earlier release (format 1); bring it to format 2 with: "
        f"embedstore upgrade '{tmp_path}'"
    )
    assert not isinstance(caught.value, CorruptStoreError)
    assert layout.read_format(tmp_path) == (1, "0001")


def test_current_can_be_written_for_an_earlier_format(tmp_path: Path) -> None:
    layout.write_current(tmp_path, "0007", 1)
    assert layout.read_format(tmp_path) == (1, "0007")
    layout.write_current(tmp_path, "0008")
    assert layout.read_current(tmp_path) == tmp_path / "generations" / "0008"


def test_current_is_never_written_through_a_planted_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "CURRENT.new").symlink_to(victim)
    layout.write_current(tmp_path, "0007")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "CURRENT").is_symlink()
    assert layout.read_current(tmp_path).name == "0007"


def test_a_current_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)  # root, who may run the tests, may read all
    with pytest.raises(StoreError, match=r"^You may not read .*CURRENT'; ask the owner") as caught:
        layout.read_current(tmp_path)
    assert not isinstance(caught.value, CorruptStoreError)


@pytest.mark.parametrize(("code", "raises"), [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False)])
def test_a_disk_that_fails_to_sync_a_directory_is_told_and_one_that_never_does_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raises: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(code)) if raises else contextlib.nullcontext():
        layout.sync_directory(tmp_path)
