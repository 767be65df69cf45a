"""The page of `distill predict`: the rejected pictures first, each beside itself with the map of where the defect is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from distill.terminal.facts import Map
from distill.terminal.gallery import Progress
from distill.terminal.predictions import By, Prediction, Predictions, check_place
from distill.terminal.where import Numbers, on_picture
from distill.training.settings import PATCHES
from embedstore.files import write_whole
from embedstore.pages import (
    Column,
    Picture,
    Text,
    bullets,
    callout,
    card,
    fold,
    key_figure,
    key_figures,
    legend,
    number,
    render_page,
    section,
    table,
)
from embedstore.pages.reasons import reason_text
from embedstore.pictures import read_picture

MOST_REJECTED, MOST_OTHERS = 100, 20  # that are shown
# Standard deviations: a place is coloured from the one on, and most strongly from the other on.
SPEAKS, FULLY = 3.0, 6.0

_TITLE = Text("What the model says of the pictures", "画像の判定結果")
_BEGINNING = f'<!DOCTYPE html>\n<html lang="en" data-title-en="{_TITLE.en}"'  # of every such page
_COLOUR = (222, 92, 0)  # one hue; how much of it there is, is what is told
_STRONGEST = 0.8  # share of the colour
_SIDE = 480  # of a picture on the page, in pixels
_FINER = 4  # so many times finer the mark is drawn, to be smooth

_BY = {
    By.head: Text("asked by its own answer", "モデル自身の判定"),
    By.prototypes: Text("asked by the nearest prototypes", "最も近い代表例による判定"),
    By.retrieval: Text("asked by the most alike pictures", "最も似た画像の検索による判定"),
}
_NO_MAP = Text(
    "This model has no map of where a defect is: train with --answer patches and export that run (distill export).",
    "このモデルには不良の位置を示すマップがありません。--answer patches を付けて学習し、その結果を distill export で書き出すと"
    "表示されます。",
)
_NO_MAP_YET = Text(  # of a model with patches, which an earlier release wrote
    "This model has no map of where a defect is, for an earlier release wrote it: export its run anew (distill export).",
    "このモデルは以前のバージョンで書き出されたため、不良の位置を示すマップがありません。同じ学習結果を distill export で"
    "書き出し直すと表示されます。",
)


def check_page(path: Path) -> None:
    """Refuse at once what `write_page` would refuse when all pictures have been asked; an earlier such page is replaced.

    Raises:
        ModelError: the name does not end in `.html`, its directory is not there, or another file has it.
        OSError: the system does not let it be written.
    """
    check_place(path, {".html": _BEGINNING}, "a page of decisions")


def write_page(found: Predictions, path: Path, progress: Progress | None = None) -> None:
    """Write the page in one step.

    Args:
        found: what is shown; see `predictions_page`.
        path: of the page.
        progress: called with the step, and how far it is.

    Raises:
        ModelError, OSError: it can't be written there; see `check_page`.
    """
    check_page(path)
    write_whole(path, predictions_page(found, progress).encode())


def predictions_page(found: Predictions, progress: Progress | None = None) -> str:
    """Return the page. Pictures are read again; where one can't be, a frame says why. See `write_page` for the progress."""
    rejected = sorted((one for one in found.pictures if one.rejected), key=_score, reverse=True)
    others = sorted((one for one in found.pictures if not one.rejected), key=_score, reverse=True)
    judged = any(one.threshold is not None for one in found.pictures)
    sections = [_overview(found, len(rejected), judged=judged)]
    cards = _Cards(found, min(len(rejected), MOST_REJECTED) + min(len(others), MOST_OTHERS), progress)
    if rejected:
        title = Text("Rejected, the highest score first", "不良と判定した画像（スコアの高い順）")
        sections.append(_listed(cards, title, rejected, MOST_REJECTED))
    if others:
        title = Text("Not rejected, the highest score first", "良品と判定した画像（スコアの高い順）")
        sections.append(_listed(cards, title if judged else Text("Pictures", "画像"), others, MOST_OTHERS))
    if found.set_aside:
        by_hand = Text("Inspect these parts by hand", "これらの部品は人が検査してください")
        sections.append(_set_aside(Text("Could not be read", "読めなかった画像"), found.set_aside, by_hand))
    if found.labelled_set_aside:
        title = Text("Labelled pictures that could not be read", "読めなかったラベル付き画像")
        sections.append(
            _set_aside(title, found.labelled_set_aside, Text("Not compared with", "比較の相手に含まれません"))
        )
    return render_page(
        _TITLE,
        sections,
        kicker=Text(f"distill predict · {_BY[found.by].en}", f"distill predict · {_BY[found.by].ja}"),
        lead=_lead(found, len(rejected), judged=judged),
    )


def _score(one: Prediction) -> float:
    return 0.0 if one.score is None else one.score


def _lead(found: Predictions, rejected: int, *, judged: bool) -> Text:
    asked, aside = len(found.pictures), len(found.set_aside)
    said = Text(f"{asked:,} pictures were asked about.", f"{asked:,} 枚の画像を判定しました。")
    if judged:
        said = Text(
            f"{rejected:,} of {asked:,} pictures are rejected.", f"{asked:,} 枚中 {rejected:,} 枚を不良と判定しました。"
        )
    if not aside:
        return said
    return Text(
        f"{said.en} {aside:,} could not be read: inspect these parts by hand.",
        f"{said.ja}{aside:,} 枚は読めませんでした。その部品は人が検査してください。",
    )


def _overview(found: Predictions, rejected: int, *, judged: bool) -> Markup:
    asked = len(found.pictures)
    figures = [key_figure(f"{asked:,}", Text("pictures asked about", "判定した画像"))]
    if judged:
        figures = [key_figure(f"{rejected:,}", Text("rejected", "不良と判定"), strong=True), *figures]
    figures.append(key_figure(f"{len(found.set_aside):,}", Text("could not be read", "読めなかった画像")))
    parts = [key_figures(*figures)]
    if found.map is None:
        parts.append(
            callout(Text("No map", "マップなし"), _NO_MAP_YET if found.answer == PATCHES else _NO_MAP, kind="note")
        )
    else:
        parts += [_legend(), fold(Text("How to read the map", "マップの見方"), _explanation(found.map))]
    if found.remarks:
        parts.append(bullets(*found.remarks))
    return section(Text("In short", "概要"), *parts)


def _legend() -> Markup:
    shares = np.tile(np.linspace(SPEAKS, FULLY, 240, dtype=np.float32), (14, 1))
    strip = _coloured(Image.new("L", (240, 14), 128), shares)
    said = Text(
        f"Colour: from {SPEAKS:g} to {FULLY:g} standard deviations or more from what is usual of good parts",
        f"色：良品の通常からの隔たり。標準偏差の {SPEAKS:g} 倍から {FULLY:g} 倍以上まで",
    )
    return legend(strip, said)


def _explanation(form: Map) -> Markup:
    return bullets(
        Text(
            f"The model looks at {form.side} x {form.side} places of each picture. Each is compared with those of good parts, "
            "and with what labelled defects taught; nobody has shown the model where a defect is.",
            f"モデルは各画像の {form.side} x {form.side} か所を見て、良品の各所と、ラベル付きの不良から学んだ特徴の"
            "両方に照らします。不良の位置そのものは教えられていません。",
        ),
        Text(
            "The ring is at the place that looks most like a defect; where no place is coloured there is none. A small defect is "
            "mostly in it or beside it (4 of 5 pasted ones on one data set); large ones often have it elsewhere, and there may "
            "be others.",
            "丸印は最も不良らしい位置です。色の付く位置がなければ丸印もありません。小さな不良は、多くの場合その位置か隣にあります"
            "（あるデータセットで貼り付けた不良では 5 個中 4 個）。大きな不良では、丸印が別の位置にあることも多く、不良がほかにも"
            "あることがあります。",
        ),
        Text(
            "The score decides, not the map: a picture may be rejected without any colour, and a good one may have some.",
            "判定はスコアによるもので、マップによるものではありません。色のない画像が不良と判定されることも、良品に色が付くこともあります。",
        ),
    )


class _Cards:
    """Draws one card after another, and tells how far it is."""

    def __init__(self, found: Predictions, number: int, progress: Progress | None):
        self._found, self._number, self._done = found, number, 0
        self._tell = progress or (lambda *_: None)

    def drawn(self, one: Prediction) -> Markup:
        made = _card(self._found, one)
        self._done += 1
        self._tell("Drawing the page", self._done, self._number)
        return made


def _listed(cards: _Cards, title: Text, pictures: Sequence[Prediction], most: int) -> Markup:
    lead = None
    if len(pictures) > most:
        lead = Text(
            f"{most} of {len(pictures):,} are shown; all are in the CSV or JSON.",
            f"{len(pictures):,} 枚のうち {most} 枚を示します。すべての結果は CSV か JSON にあります。",
        )
    return section(title, Markup("").join(cards.drawn(one) for one in pictures[:most]), lead=lead)


def _card(found: Predictions, one: Prediction) -> Markup:
    facts: list[tuple[Text, str]] = []
    if one.score is not None:
        facts.append((Text("Score", "スコア"), number(one.score, 3)))
    if one.threshold is not None:
        facts.append((Text("Threshold", "しきい値"), number(one.threshold, 3)))
    if one.nearest is not None:
        facts.append((Text("Most alike defect", "最も似た不良"), one.nearest))
    if one.where is not None:
        centre, size = f"{one.where.x}, {one.where.y}", f"{one.where.width} x {one.where.height}"
        facts.append((Text("Place (x, y; size)", "位置（x, y；大きさ）"), f"{centre}; {size} px"))
    return card(one.decision, one.path, _shown(found, one), facts)


def _shown(found: Predictions, one: Prediction) -> list[Picture]:
    """Return a picture, and beside it the same with the map where there is one; it is read once, and shrunk once."""
    try:
        whole = read_picture(one.path)[0]
    except ValueError:  # a PictureError, or a name that no file can have
        return [Picture(one.path, one.path)]  # its frame says why
    scale = min(1.0, _SIDE / max(whole.size))
    width, height = (max(1, round(scale * length)) for length in whole.size)
    small = whole.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    shown = [Picture(one.path, small)]
    where = found.maps.get(one.path)
    if found.map is not None and where is not None and one.where is not None:
        laid = _coloured(small, on_picture(where, found.map.fit, small.size))
        if one.where.deviations >= SPEAKS:
            centre = ((one.where.x + 0.5) * width / whole.width, (one.where.y + 0.5) * height / whole.height)
            laid = _marked(laid, centre)
        shown.append(Picture(one.path, laid))
    return shown


def _coloured(small: Image.Image, laid: Numbers) -> Image.Image:
    """Return a picture in colour as far as numbers (height, width) speak for a defect."""
    share = _STRONGEST * np.clip((laid - SPEAKS) / (FULLY - SPEAKS), 0, 1)[:, :, None]
    pixels = np.asarray(small.convert("RGB"), np.float32) * (1 - share) + np.array(_COLOUR, np.float32) * share
    return Image.fromarray(pixels.round().astype(np.uint8))


def _marked(small: Image.Image, centre: tuple[float, float]) -> Image.Image:
    """Return a picture with a ring at a place: white between black, to be seen on any ground."""
    radius = max(6.0, max(small.size) / 24)
    for grown, width, grey in ((1, radius / 3, 0), (0, radius / 6, 255)):
        mask = Image.new("L", (small.width * _FINER, small.height * _FINER))
        box = [_FINER * (at + sign * (radius + grown)) for sign in (-1, 1) for at in centre]
        ImageDraw.Draw(mask).ellipse(box, outline=255, width=round(_FINER * width))
        small.paste((grey,) * 3, mask=mask.resize(small.size, Image.Resampling.BOX))
    return small


def _set_aside(title: Text, reasons: Mapping[str, str], caption: Text) -> Markup:
    return section(
        title,
        table(
            [Column(Text("Picture", "画像")), Column(Text("Reason", "理由"))],
            [[path, reason_text(reason)] for path, reason in sorted(reasons.items())],
            caption=caption,
        ),
    )
