"""The page of decisions: what is shown, in which order, and what it replaces; with the map where there is one."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import toy_parts
from browser import driven, needs_browser
from PIL import Image

import distill
from distill.terminal import predictions_page as module
from distill.terminal.export import Export
from distill.terminal.facts import Map
from distill.terminal.predictions import By, Prediction, Predictions
from distill.terminal.predictions_page import check_page, predictions_page, write_page
from distill.terminal.where import peak
from embedstore.errors import ModelError
from embedstore.pages import Text, gallery

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


def grey(path: Path, size: tuple[int, int] = (120, 60)) -> str:
    Image.new("L", size, 128).save(path)
    return str(path)


def judged(path: str, score: float) -> Prediction:
    return Prediction(path, "defect" if score > 0.5 else "good", score, 0.5)


def mapped(folder: Path, row: int = 1, column: int = 3) -> Predictions:
    """One rejected picture, twice as wide as high, whose map has one place that is unusual."""
    where = np.zeros((4, 4), np.float32)
    where[row, column] = 8
    path = grey(folder / "wide.png")
    one = replace(judged(path, 0.9), where=peak(where, "squash", (120, 60)))
    return Predictions(By.head, [one], maps={path: where}, map=Map(4, "squash"))


def shown(html: str) -> list[Image.Image]:
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)"', html)
    return [Image.open(BytesIO(b64decode(one))).convert("RGB") for one in found]


def test_rejected_pictures_come_first_and_the_highest_score_before_others(tmp_path: Path) -> None:
    scores = {"a": 0.6, "b": 0.2, "c": 0.95, "d": 0.4}
    html = predictions_page(
        Predictions(By.head, [judged(grey(tmp_path / f"{name}.png"), score) for name, score in scores.items()])
    )
    order = [html.index(f"{name}.png</bdi>") for name in "cadb"]
    assert order == sorted(order)
    assert html.index("Rejected, the highest") < order[0] < order[1] < html.index("Not rejected, the") < order[2]
    assert "2 of 4 pictures are rejected." in html
    assert "4 枚中 2 枚を不良と判定しました。" in html
    assert "0.950" in html
    assert "--answer patches" in html
    assert len(shown(html)) == 4


def test_only_so_many_are_shown_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REJECTED", 2)
    monkeypatch.setattr(module, "MOST_OTHERS", 1)
    path = grey(tmp_path / "a.png")
    html = predictions_page(Predictions(By.head, [judged(path, score) for score in (0.9, 0.8, 0.7, 0.1, 0.2)]))
    assert html.count("<article") == 3
    assert "2 of 3 are shown; all are in the CSV or JSON." in html
    assert "1 of 2 are shown; all are in the CSV or JSON." in html


def test_the_map_lies_on_the_picture_where_it_speaks_for_a_defect(tmp_path: Path) -> None:
    html = predictions_page(mapped(tmp_path))
    legend, plain, laid = (np.asarray(one, int) for one in shown(html))
    assert legend.shape[0] < 20
    assert plain.shape == laid.shape == (60, 120, 3)
    coloured = laid[:, :, 0] - laid[:, :, 2]
    assert np.abs(plain[:, :, 0] - plain[:, :, 2]).max() < 8
    rows, columns = np.nonzero(coloured > 60)
    assert 8 <= rows.min() <= rows.max() <= 38  # the second of four places down is from 15 to 30, and fades around
    assert columns.min() >= 78  # the last one across is from 90 on
    assert np.abs(coloured[:, :60]).max() < 12  # nothing elsewhere
    assert "105, 22; 30 x 15 px" in html
    assert "standard deviations" in html
    assert "--answer patches" not in html


def test_the_ring_is_at_the_peak(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    flat = replace(found, maps={path: np.zeros((4, 4), np.float32) for path in found.maps})
    laid = np.asarray(shown(predictions_page(flat))[2].convert("L"), int)
    rows, columns = np.nonzero(np.abs(laid - 128) > 60)
    assert abs((rows.min() + rows.max()) / 2 - 22.5) < 1.5
    assert abs((columns.min() + columns.max()) / 2 - 105) < 1.5
    assert laid.max() > 200
    assert laid.min() < 60


@pytest.mark.parametrize(("beyond", "marked"), [(-0.01, False), (0.0, True)])
def test_there_is_no_ring_where_nothing_is_coloured(beyond: float, marked: bool, tmp_path: Path) -> None:
    found, deviations = mapped(tmp_path), module.SPEAKS + beyond
    (one,) = found.pictures
    assert one.where is not None
    weak = replace(one, where=replace(one.where, deviations=deviations))
    maps = {one.path: np.minimum(found.maps[one.path], np.float32(deviations))}
    html = predictions_page(replace(found, pictures=[weak], maps=maps))
    laid = np.asarray(shown(html)[2].convert("L"), int)
    assert (np.abs(laid - 128).max() > 60) == marked
    assert "(4 of 5 pasted ones on one data set); large ones often have it elsewhere" in html
    assert "5 個中 4 個" in html


def test_each_picture_is_read_once_and_the_page_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, reads, told = mapped(tmp_path), list[object](), list[tuple[str, int, int]]()
    plain = judged(grey(tmp_path / "plain.png", (2000, 1000)), 0.2)
    read = gallery.read_picture
    for each in (module, gallery):
        monkeypatch.setattr(each, "read_picture", lambda path: reads.append(path) or read(path))
    html = predictions_page(replace(found, pictures=[*found.pictures, plain]), lambda *step: told.append(step))
    assert reads == [found.pictures[0].path, plain.path]
    assert told == [("Drawing the page", 1, 2), ("Drawing the page", 2, 2)]
    assert shown(html)[3].size == (480, 240)


def test_a_model_with_patches_but_no_map_is_only_to_be_exported_anew() -> None:
    html = predictions_page(Predictions(By.head, [], answer="patches"))
    assert "for an earlier release wrote it: export its run anew (distill export)." in html
    assert "書き出し直すと表示されます" in html
    assert "--answer patches" not in html
    assert "train with --answer patches and export" in predictions_page(Predictions(By.head, [], answer="both"))


def test_what_cannot_be_read_is_listed_and_nothing_is_believed(tmp_path: Path) -> None:
    gone = replace(judged(HOSTILE, 0.9), decision=HOSTILE, nearest=HOSTILE)
    html = predictions_page(
        Predictions(By.retrieval, [gone], {HOSTILE: "is <b>no</b> picture"}, [Text(HOSTILE, f"{HOSTILE}。")])
    )
    assert "<script>alert" not in html
    assert "onerror=alert(1)>" not in html
    assert "<b>no</b>" not in html
    assert "is &lt;b&gt;no&lt;/b&gt; picture" in html
    assert "No picture" in html
    assert "1 could not be read: inspect these parts by hand." in html


def test_a_picture_that_is_gone_leaves_a_frame_and_no_map(tmp_path: Path) -> None:
    found = mapped(tmp_path)
    Path(found.pictures[0].path).unlink()
    html = predictions_page(found)
    assert len(shown(html)) == 1  # the legend
    assert "No such file" in html


def test_without_a_good_label_nothing_is_rejected(tmp_path: Path) -> None:
    html = predictions_page(Predictions(By.head, [Prediction(grey(tmp_path / "a.png"), "cut", None, None)]))
    assert "1 pictures were asked about." in html
    assert "ejected" not in html.split("<main>")[1]


def test_only_an_earlier_page_is_replaced(tmp_path: Path) -> None:
    page, found = tmp_path / "page.html", Predictions(By.head, [])
    write_page(found, page)
    first = page.read_bytes()
    write_page(mapped(tmp_path), page)
    assert page.read_bytes() != first
    page.write_text('<!DOCTYPE html>\n<html lang="en">mine', "utf-8")
    for refuse in (check_page, lambda path: write_page(found, path)):
        with pytest.raises(
            ModelError, match=r"page\.html' holds something other than a page of decisions; choose another"
        ):
            refuse(page)
    with pytest.raises(ModelError, match=r"page\.csv' ends in something other than \.html"):
        check_page(tmp_path / "page.csv")
    with pytest.raises(ModelError, match=r"There is no directory '.*none' to write 'page\.html' to"):
        check_page(tmp_path / "none" / "page.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ModelError, match="is a directory"):
        check_page(tmp_path / "folder.html")


def test_a_spot_is_found_in_pixels_of_its_own_picture(patched_model: Export, store_path: Path, tmp_path: Path) -> None:
    """Each picture of a spot is stretched to twice its width: places across are, too."""
    held, images = sorted((store_path.parent / "images").glob("spot*.png")), []
    for path in held:
        with Image.open(path) as picture:
            picture.resize((96, 48), Image.Resampling.BILINEAR).save(tmp_path / path.name)
        images.append(tmp_path / path.name)
    found = distill.predict(patched_model.path, images)
    hits = []
    for one in found.pictures:
        pixels = np.asarray(Image.open(one.path), float)
        rows, columns = np.nonzero(pixels > 175)
        assert one.where is not None
        hits.append(
            np.quantile(columns, 0.1) - 14 <= one.where.x <= np.quantile(columns, 0.9) + 14
            and np.quantile(rows, 0.1) - 7 <= one.where.y <= np.quantile(rows, 0.9) + 7
        )
    assert np.mean(hits) > 0.8
    assert len({one.where for one in found.pictures}) > 5
    form = found.map
    assert form is not None
    assert found.answer == "patches"
    assert {(one.where.width, one.where.height) for one in found.pictures if one.where is not None} == {
        (round(96 / form.side), round(48 / form.side))
    }
    assert found.to_dict()["pictures"][0]["where"].keys() == {"x", "y", "width", "height", "deviations"}
    assert found.to_csv().splitlines()[0] == "path,decision,score,threshold,nearest"
    assert toy_parts.SIDE == 48


def test_a_place_is_told_on_the_upright_picture(patched_model: Export, store_path: Path, tmp_path: Path) -> None:
    """Of a picture that lies on its side in its file, as of the same one whose file is upright."""
    with Image.open(store_path.parent / "images" / "spot001.png") as picture:
        upright = picture.resize((96, 48), Image.Resampling.BILINEAR)
    upright.save(tmp_path / "upright.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=turned)
    lying, expected = distill.predict(patched_model.path, [tmp_path]).pictures
    assert lying.path.endswith("lying.png")
    assert lying.where == expected.where


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_in_a_browser(width: int, tmp_path: Path) -> None:
    found = mapped(tmp_path)
    long = Prediction(found.pictures[0].path, "defect", 0.95, 0.5, "crack/" + "a" * 80 + ".png")
    write_page(replace(found, pictures=[*found.pictures, long], set_aside={"b.png": "is broken"}), tmp_path / "p.html")
    with driven(tmp_path / "profile") as page:
        page.open((tmp_path / "p.html").as_uri() + "#ja", width=width, touch=width < 500)
        page.until("document.readyState == 'complete' && document.documentElement.lang == 'ja'")
        assert page.value("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert page.value("document.documentElement.scrollWidth") == width
        boxes = page.value(
            "[...document.querySelectorAll('.card:last-of-type img, .card img')].map(one => one.getBoundingClientRect())"
            ".map(one => [one.left, one.top, one.width])"
        )
        assert page.complaints == []
    assert len(boxes) == 3
    beside = boxes[1][1] == boxes[2][1]
    assert beside == (width > 640)
    assert min(one[2] for one in boxes) > 250
