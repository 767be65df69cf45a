"""What is said of predictions, in English and in Japanese."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_galleries import GALLERY

from distill.terminal import remarks
from distill.terminal.predictions import By, Predictions
from distill.terminal.predictions_page import predictions_page
from embedstore import Sample
from embedstore.images import Listing


@pytest.mark.parametrize(
    ("made_of", "japanese"),
    [
        ("The store 'a' b' (version 12)", "ストア「a' b」（バージョン 12）"),
        ("The folder 'known'", "フォルダ「known」"),
        ("The light file 'x.safetensors'", "軽量ファイル「x.safetensors」"),
        ("A gift", "A gift"),  # a gallery's file may say anything
    ],
)
def test_where_the_threshold_comes_from_is_told_in_both_languages(made_of: str, japanese: str) -> None:
    gallery = replace(GALLERY, made_of=made_of, goods=np.zeros((40, 4), np.float32))
    (said,) = remarks.set_on(gallery, 0.1443, 0.05, without_own=True)
    assert said.en == (
        f"The threshold 0.1443 rejects at most 5.0% of 40 good pictures of {made_of[0].lower()}{made_of[1:]}, each compared "
        "without its own part."
    )
    assert said.ja == (
        f"しきい値 0.1443 で不良と判定されるのは、{japanese}の良品画像 40 枚のうち 5.0% 以下です"
        "（各画像は自身の部品を除いて比較）。"
    )
    (plain,) = remarks.set_on(gallery, 0.1443, 0.05, without_own=False)
    assert "own part" not in plain.en
    assert "自身の部品" not in plain.ja
    assert japanese in remarks.pictures(gallery).ja


def test_what_is_not_compared_with_is_told_with_how_many_and_the_first() -> None:
    labelled, *unlabelled = Sample("a/1.png", "a/1.png", "a"), Sample("2.png", "2.png"), Sample("3.png", "3.png")
    assert remarks.left_out(Listing(Path("known"), [labelled], {}, Counter({".txt": 2}))) == []
    unreadable = {"a/4.png": "it is a link that leads outside of the image folder"}
    links, labels = remarks.left_out(Listing(Path("known"), [labelled, *unlabelled], unreadable, Counter()))
    assert links.en.startswith(
        "1 of the pictures under 'known' (such as 'a/4.png') can't be used, for their names or links,"
    )
    assert labels.en.startswith(
        "2 of the pictures under 'known' (such as '2.png') have no label and are not compared with;"
    )
    assert "1 枚（「a/4.png」など）は、名前かリンクの問題で使えない" in links.ja
    assert "2 枚（「2.png」など）は、ラベルがないため" in labels.ja


def test_the_page_says_it_in_both_languages() -> None:
    said = remarks.set_on(GALLERY, 0.1, 0.05, without_own=True)
    assert len(said) == 2
    aside = {"b.png": "is not a picture in a known format"}
    found = Predictions(By.retrieval, [], aside, [*said, remarks.NO_SPLIT, remarks.members(1, 2)])
    html = predictions_page(found)
    for one in found.remarks:
        assert f'<span lang="ja">{one.ja}</span>' in html
    assert '<span lang="ja">対応する形式の画像ではありません</span>' in html
    assert found.to_dict()["remarks"] == [one.en for one in found.remarks]
