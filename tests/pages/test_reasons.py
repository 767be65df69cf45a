"""Reasons why a picture can't be used are told in both languages: those that reading and listing really give."""

import re
from pathlib import Path

import pytest
from PIL import Image

from embedstore import pictures
from embedstore.errors import PictureError
from embedstore.images import list_images
from embedstore.pages.gallery import Picture, picture
from embedstore.pages.reasons import reason_text


def is_japanese(text: str) -> bool:
    return re.search("[ぁ-ん]", text) is not None and "（英語）" not in text


def test_what_reading_says_is_told_in_japanese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 8), 9).save(tmp_path / "large.png")
    Image.new("F", (8, 8), 9).save(tmp_path / "float.tif")
    Image.new("I", (8, 8), -1).save(tmp_path / "deep.tif")
    (tmp_path / "cut.png").write_bytes((tmp_path / "large.png").read_bytes()[:50])
    (tmp_path / "text.png").write_text("no picture", "utf-8")
    (tmp_path / "empty.png").touch()
    said = set()
    for most in (60, 100):
        monkeypatch.setattr(pictures, "MOST_PIXELS", most)
        for name in ("large.png", "float.tif", "deep.tif", "cut.png", "text.png", "empty.png", "gone.png"):
            try:
                pictures.read_picture(tmp_path / name)
            except PictureError as error:
                said.add(str(error))
    assert len(said) == 7
    for reason in said:
        assert reason_text(reason).en == reason
        assert is_japanese(reason_text(reason).ja), reason
    assert reason_text("claims 8 x 8 pixels, more than 60").ja == "画素数が多すぎます（8 x 8、上限 60）"


def test_what_listing_says_is_told_in_japanese(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside.png").touch()
    links = {"out.png": tmp_path / "outside.png", "nowhere.png": tmp_path / "none", "linked": folder / "sub"}
    try:
        for name, target in links.items():
            (folder / name).symlink_to(target)
    except OSError:
        pytest.skip("links need a right of their own here")
    reasons = list_images(folder).unreadable
    assert len(reasons) == 3
    assert all(is_japanese(reason_text(one).ja) for one in reasons.values())


def test_a_reason_that_is_not_known_says_that_it_is_english(tmp_path: Path) -> None:
    assert reason_text("is odd").ja == "is odd（英語）"
    html = picture(Picture("a", tmp_path / "gone.png"))
    assert "can&#39;t be read: No such file" in html
    assert "ファイルを読めません（No such file" in html
