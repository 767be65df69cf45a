"""Small copies of pictures: by sample only, none from outside, none that is not the one that was embedded."""

import io
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from helpers import encoded, store_of, unit_vectors
from inspected import HOSTILE_ID, client_of, drawn, name_of
from PIL import Image
from starlette.testclient import TestClient
from test_security import sentence

import embedstore
from embedstore.pictures import content_hash
from embedstore_inspector import decoding, pictures
from embedstore_inspector.pictures import Pictures


def address(store: Path, sample_id: str, side: int = 320) -> str:
    with embedstore.open(store) as opened:
        content = opened.content_at(int(opened.positions([sample_id])[0])).hex()
    return f"/thumbnail?id={quote(sample_id, safe='')}&c={content}&side={side}"


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), int)


def test_a_small_copy_looks_like_its_picture_and_may_be_kept_for_good(client: TestClient, line: Path) -> None:
    response = client.get(address(line / "store", name_of(3)))
    assert response.headers["content-type"] == "image/webp"
    assert np.abs(opened(response.content) - np.asarray(drawn(3), int)).mean() < 4
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = client.get(address(line / "store", name_of(3)), headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(address(line / "store", name_of(4))).headers["etag"] != response.headers["etag"]


@pytest.mark.parametrize("side", ["0", "99", "161", "100000", "-1", "x", ""])
def test_only_some_sizes_are_made(client: TestClient, line: Path, side: str) -> None:
    path = address(line / "store", name_of(3)).replace("side=320", f"side={side}")
    assert client.get(path).status_code in (400, 404)


HOSTILE_NAMES = ["", ".", "..", "../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "good/../../photos.csv",
                 "\0", "a\0b", "C:\\windows\\win.ini", "\\\\host\\share", "photos.csv", "\udcff", "<img src=x>"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("path", ["/thumbnail?c=&side=160&", "/card?v=1&", "/api/like?v=1&"])
def test_what_is_no_samples_id_reaches_no_file(client: TestClient, path: str, name: str) -> None:
    response = client.get(f"{path}id={quote(name.encode('utf-8', 'surrogateescape'), safe='')}")
    assert response.status_code == 404
    assert "has no sample" in sentence(response)["en"]
    assert "root:" not in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/x",
        "/static//etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
    ],
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder with a secret beside it."""
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(encoded(drawn(1)))
    return tmp_path / "images"


def refusal(folder: Path, uri: str) -> str:
    """Return why the picture of a sample whose uri is made up can't be had."""
    store = store_of(folder.parent / f"store {len(list(folder.parent.iterdir()))}", unit_vectors(1, 1))
    record = store.sample_at(0)
    with store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store), "sample_at", lambda self, at: type(record)(record.id, uri))
        patch.setattr(type(store), "content_at", lambda self, at: bytes(16))
        try:
            Pictures(folder).copy(store, 0, 160)
        except embedstore.EmbedstoreError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("uri", ["../secret.png", "/etc/passwd", "a/../../secret.png", "C:/secret.png", "a\0.png", ""])
def test_a_hostile_store_can_name_no_file_outside_of_its_folder(folder: Path, uri: str) -> None:
    assert refusal(folder, uri) == "leads out of the image folder"


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own there")
def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "deep").symlink_to(folder.parent)
    assert refusal(folder, "link.png") == refusal(folder, "deep/secret.png") == "leads out of the image folder"
    shutil.copy(folder.parent / "secret.png", folder / "own.png")
    (folder / "inside.png").symlink_to(folder / "own.png")
    assert refusal(folder, "inside.png") == ""


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own there")
def test_a_folder_that_becomes_a_link_while_its_file_is_opened_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "deep").mkdir()
    shutil.copy(folder.parent / "secret.png", folder / "deep" / "secret.png")
    assert refusal(folder, "deep/secret.png") == ""
    opens = os.open

    def swapped(path: str, flags: int, *more: object) -> int:
        if str(path).endswith("secret.png") and not (folder / "was").exists():
            (folder / "deep").rename(folder / "was")
            (folder / "deep").symlink_to(folder.parent)
        return opens(path, flags, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swapped)
    assert refusal(folder, "deep/secret.png") == "was moved while it was read"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert refusal(folder, "pipe.png") == "is no file"


def test_a_file_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "big.png").write_bytes(b"x" * 11)
    monkeypatch.setattr(pictures, "MOST_BYTES", 10)
    assert refusal(folder, "big.png") == "has 11 bytes, more than 10"
    assert "can't be read" in refusal(folder, "gone.png")


def test_a_picture_that_was_replaced_is_not_shown_as_the_one_that_was_embedded(own_line: Path) -> None:
    path = address(own_line / "store", name_of(3))
    drawn(4).save(own_line / "photos" / name_of(3))
    with client_of(own_line / "store", images=own_line / "photos") as client:
        response = client.get(path)
        assert response.status_code == 404
        assert "has changed since the store was built" in sentence(response)["en"]
        assert client.get(path.replace("c=", "c=0")).status_code == 404  # the address of yet another picture


def test_kept_pictures_are_shown_where_the_folder_is_gone(own_line: Path) -> None:
    embedstore.build(own_line / "store", own_line / "photos", manifest=own_line / "photos.csv", keep_images=256)
    shutil.rmtree(own_line / "photos")
    with client_of(own_line / "store") as client:
        response = client.get(address(own_line / "store", name_of(3)))
        assert np.abs(opened(response.content) - np.asarray(drawn(3), int)).mean() < 4


def test_a_makeshift_copy_is_forgotten_as_soon_as_the_picture_is_back(own_line: Path) -> None:
    photos, store = own_line / "photos", own_line / "store"
    embedstore.build(store, photos, manifest=own_line / "photos.csv", keep_images=256)
    photos.rename(own_line / "away")
    path = address(store, name_of(3))
    with client_of(store) as client:
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers
        (own_line / "away").rename(photos)
        response = client.get(path)
        assert "immutable" in response.headers["cache-control"]


def test_a_folder_that_moved_is_followed_once_the_store_knows_of_it(own_line: Path) -> None:
    photos, store = own_line / "photos", own_line / "store"
    embedstore.build(store, photos, manifest=own_line / "photos.csv")
    with client_of(store) as client:
        photos.rename(own_line / "moved")
        assert client.get(address(store, name_of(3))).status_code == 404
        embedstore.build(store, own_line / "moved", manifest=own_line / "photos.csv")
        assert client.get("/api/store").status_code == 200
        assert client.get(address(store, name_of(3))).status_code == 200


def test_without_folder_and_kept_pictures_the_page_is_told(own_line: Path) -> None:
    shutil.rmtree(own_line / "photos")
    with client_of(own_line / "store", images=own_line / "nowhere") as client:
        response = client.get(address(own_line / "store", name_of(3)))
    assert response.status_code == 404
    assert "can't be shown" in sentence(response)["en"]


def test_the_copies_that_are_kept_in_memory_are_bounded(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedstore.open(line / "store") as store:
        small = Pictures(line / "photos")
        sizes = [len(small.copy(store, at, 160).data) for at in range(6)]
        monkeypatch.setattr(pictures, "_CACHED", sum(sizes[3:]))
        small = Pictures(line / "photos")
        for at in (0, 1, 2, 3, 4, 5):
            small.copy(store, at, 160)
        kept = {content for content, _ in small._copies}
        assert {store.content_at(at) for at in (4, 5)} <= kept
        assert store.content_at(0) not in kept
        assert sum(map(len, small._copies.values())) <= sum(sizes[3:])


def test_the_hostile_name_is_a_sample_like_any_other(client: TestClient, line: Path) -> None:
    response = client.get(address(line / "store", HOSTILE_ID))
    assert response.status_code == 200
    assert content_hash((line / "photos" / name_of(1)).read_bytes()).hex() in response.headers["etag"]


@pytest.mark.parametrize(("large", "together"), [(64 * 48, 3), (64 * 48 - 1, 1)])
def test_of_large_pictures_one_is_decoded_at_a_time(large: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data, lock, now, most = encoded(drawn(1)), threading.Lock(), 0, 0  # 64 x 48 pixels

    def slow(given: bytes) -> Image.Image:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.3)
        with lock:
            now -= 1
        return drawn(1)

    def used(_: int) -> None:
        with decoding.decoded(data):
            pass

    monkeypatch.setattr(decoding, "LARGE", large)
    monkeypatch.setattr(decoding, "decode", slow)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(used, range(3)))
    assert most == together
