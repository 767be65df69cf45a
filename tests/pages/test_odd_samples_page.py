"""The page of odd samples: every picture beside what is near, both languages, hostile stores, and writing it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawings import HOSTILE
from helpers import smooth_picture, store_of, write_picture

from embedstore import EmbeddingStore
from embedstore.analysis.odd_samples import find_odd, why
from embedstore.errors import SettingsError
from embedstore.pages import odd_page as module
from embedstore.pages.odd_page import check_page_path, odd_cards, odd_page, write_odd_page
from embedstore.vectors import unit_length

COUNT = 30


def make(path: Path, **changed: Any) -> EmbeddingStore:
    """Return a store of 20 good samples, 9 cracks, and one without a label; no two of one part."""
    axes = np.zeros((COUNT, 8))
    axes[np.arange(COUNT), [0] * 20 + [1] * 9 + [2]] = 1
    vectors = unit_length(axes + 0.1 * np.random.default_rng(1).normal(size=axes.shape))
    vectors[3] = unit_length(np.eye(8)[5])
    fields: dict[str, Any] = {
        "ids": [f"tile_{number:02d}.png" for number in range(COUNT)],
        "labels": ["good"] * 20 + ["crack"] * 9 + [None],
        "modes": [None] * 20 + ["hairline"] * 9 + [None],
        "groups": [f"part {number}" for number in range(COUNT)],
        **changed,
    }
    return store_of(path, vectors, **fields)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    """The store, with its pictures in the folder that it remembers."""
    for number in range(COUNT):
        write_picture(tmp_path / f"tile_{number:02d}.png", smooth_picture(number, (64, 48)))
    with make(tmp_path / "parts.store") as opened:
        yield opened


def test_each_odd_picture_stands_beside_typical_ones_and_neighbours(store: EmbeddingStore) -> None:
    found = find_odd(store, store.summarize("class-mean"), top=2)
    html = odd_page(found, store)
    assert html.count("<article") == 2 + 2 + 1
    assert html.count("<img") == 5 * (1 + 3 + 3)
    assert len(set(re.findall(r'<img src="([^"]*)"', html))) > 8  # pictures, not one picture
    order = [html.index(f">{name}<") for name in ("crack: the oddest 2 of 9", "good: the oddest 2 of 20")]
    assert order == sorted(order)
    assert "Without a label: the oddest 1 of 1" in html
    card = html[html.index("good: the oddest") :].split("</article>")[0]
    odd = found.by_label["good"][0]
    assert odd.id == "tile_03.png"
    assert 'alt="tile_03.png"' in card
    assert card.index('alt="tile_03.png"') < card.index("Nearest prototype") < card.index("Nearest samples")
    assert odd.prototype is not None
    for name in (*odd.prototype.typical, *(near.id for near in odd.nearest)):
        assert f'alt="{name}"' in card
    assert f"{odd.distance:.2f}" in card
    assert ">100<" in card  # the percentile
    assert ">part 3<" in card
    assert "tile_<wbr>03.png" in card


def test_reasons_are_counted_and_told_in_both_languages(store: EmbeddingStore) -> None:
    found = find_odd(store, top=3)
    html = odd_page(found, store)
    assert found.by_label["good"][0].reason == "nothing-near"
    for text in (module.REASONS["nothing-near"].en, module.REASONS["nothing-near"].ja):
        assert text in html
    for listed in found.by_label.values():
        for odd in listed:
            assert why(odd).replace("'", "&#39;") in html
            assert why(odd, "ja").replace("'", "&#39;") in html
    assert found.compared_with.en in html
    assert found.compared_with.ja in html
    assert "The oddest pictures of parts.store" in html
    assert "parts.store の特異な画像" in html
    assert {odd.reason for listed in found.by_label.values() for odd in listed} <= set(module.REASONS)


def test_cards_alone_fit_into_another_page(store: EmbeddingStore) -> None:
    cards = odd_cards(find_odd(store, top=2, labels=["crack"]), store)
    assert cards.count("<article") == 2
    assert "<html" not in cards
    assert "crack (hairline)" in cards


def test_remarks_are_on_the_page(tmp_path: Path) -> None:
    with make(tmp_path / "s", groups=[None] * COUNT) as store:
        html = odd_page(find_odd(store, top=1), store)
    assert f"{COUNT} of {COUNT} pictures have no group" in html
    assert "グループがなく" in html


def test_pictures_that_are_gone_leave_a_frame_and_may_be_elsewhere(store: EmbeddingStore, tmp_path: Path) -> None:
    found = find_odd(store, store.summarize("class-mean"), top=1)
    moved = tmp_path / "moved"
    moved.mkdir()
    for number in range(COUNT):
        (tmp_path / f"tile_{number:02d}.png").rename(moved / f"tile_{number:02d}.png")
    gone = odd_page(found, store)
    assert "<img" not in gone
    assert gone.count("can&#39;t be read: No such file") == 3 * (1 + 3 + 3)
    assert odd_page(found, store, images=moved).count("<img") == 3 * (1 + 3 + 3)


def test_a_hostile_store_neither_reads_outside_of_the_folder_nor_writes_markup(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png", smooth_picture(1))
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a").mkdir()
    strange = ["C:secret.png", "\\secret.png", "a\\..\\secret.png", "\\\\host\\secret.png"]
    for name in strange:  # names like others here, but not on Windows
        write_picture(root / name, smooth_picture(1))
    elsewhere = ["../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png"]
    outside = [*elsewhere, "a\0.png", "", "."] * 3 + strange * 3
    with make(
        tmp_path / "s",
        uris=outside,
        ids=[f"{HOSTILE}{number}" for number in range(COUNT)],
        labels=[HOSTILE] * 20 + ["{label}</style>"] * 9 + [None],
        modes=[HOSTILE] * COUNT,
        groups=[f"{HOSTILE}{number}" for number in range(COUNT)],
        splits=["train"] * COUNT,
    ) as store:
        assert store.sample_at(0).uri == "../secret.png"
        html = odd_page(find_odd(store, top=5), store, images=root)
    assert "<img" not in html
    assert html.count("<script") == 1
    assert html.count("</style>") == 1
    assert "onerror=alert(1)>" not in html
    assert "No picture" in html


def test_a_store_where_near_is_unknown_says_so(tmp_path: Path) -> None:
    with make(tmp_path / "s", groups=["one part"] * COUNT) as store:
        html = odd_page(find_odd(store, top=2), store)
    assert "within this distance: unknown." in html
    assert "（不明）" in html
    assert html.count("<article") == 2 + 2 + 1
    assert "More pictures like it" not in html


def test_the_page_promises_no_more_than_its_order(store: EmbeddingStore) -> None:
    found = find_odd(store, top=3)
    html = odd_page(found, store)
    assert "The farthest from what is usual come first" in html
    assert "come first, so" not in html
    good = html[html.index("good: the oddest") :]
    order = [
        good.index(f'alt="{odd.id}"') for odd in sorted(found.by_label["good"], key=lambda odd: -(odd.distance or 9))
    ]
    assert order == sorted(order)


def test_an_earlier_page_is_replaced_and_a_failure_leaves_it(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_odd(store, top=1)
    folder = tmp_path / "out"
    folder.mkdir()
    page = folder / "odd.HTML"
    page.write_text("before", "utf-8")
    write_odd_page(found, store, page)
    written = page.read_text("utf-8")
    assert written == odd_page(found, store)
    assert written.startswith("<!DOCTYPE html>")
    page.write_text("before", "utf-8")

    monkeypatch.setattr(module, "odd_page", lambda *_, **__: "half a page \ud800")  # can't be encoded
    with pytest.raises(UnicodeEncodeError):
        write_odd_page(found, store, page)
    assert page.read_text("utf-8") == "before"
    assert [one.name for one in folder.iterdir()] == ["odd.HTML"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("odd.txt", "does not end in .html"),
        ("odd", "does not end in .html"),
        ("folder.html", "is a directory"),
        ("gone/odd.html", "does not exist; make it first"),
    ],
)
def test_a_path_that_can_not_be_a_page_is_refused(
    store: EmbeddingStore, tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "odd.txt").write_text("mine", "utf-8")
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        check_page_path(tmp_path / name)
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        write_odd_page(find_odd(store, top=1), store, tmp_path / name)
    assert (tmp_path / "odd.txt").read_text("utf-8") == "mine"
