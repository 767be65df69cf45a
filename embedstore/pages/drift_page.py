"""Drift of a batch as a page: the answer, by label and prototype, and the pictures that moved most beside what they are like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from embedstore.analysis.drift.report import DriftReport, Kind, MovedPicture
from embedstore.files import write_whole
from embedstore.images import leaves
from embedstore.pages import gallery
from embedstore.pages.odd_page import WITHOUT, check_page_path
from embedstore.pages.page import bullets, callout, fold, key_figure, key_figures, render_page, section
from embedstore.pages.tables import Cell, Column, Value, table
from embedstore.pages.words import Text, Words, number, percent

if TYPE_CHECKING:
    from embedstore.analysis.drift.batch import Batch
    from embedstore.store.embedding_store import EmbeddingStore

KINDS: dict[Kind, Text] = {
    "quiet": Text("Quiet", "変化なし"),
    "too-few": Text("Too few to tell", "判断できません"),
    "camera": Text("Camera or light changed", "カメラ・照明の変化"),
    "new-defect": Text("A new defect", "新しい不良"),
    "line": Text("The line changed", "ラインの変化"),
    "unclear": Text("Drift of an unknown kind", "種類不明のドリフト"),
}


def drift_page(found: DriftReport, batch: Batch, store: EmbeddingStore) -> str:
    """Return the page.

    Args:
        found: by `find_drift`.
        batch: that was looked at; its pictures are shown where they can be read.
        store: that it was compared with; its pictures too.
    """
    name, against = Path(batch.name).name or batch.name, store.path.resolve().name
    first, *more = found.sentences
    return render_page(
        Text(f"Drift: {name} against {against}", f"ドリフト：{against} に対する {name}"),
        [
            section(
                KINDS[found.kind],
                _figures(found),
                bullets(*more),
                *[callout(Text("Note", "注意"), remark, kind="note") for remark in found.remarks],
                fold(Text("How to read it", "見方"), _explanation(found)),
            ),
            section(Text("By label", "ラベル別"), _labels(found)),
            section(Text("By prototype", "代表例別"), _prototypes(found)),
            *([section(_moved_title(found), _cards(found, batch, store))] if found.moved else []),
        ],
        kicker=Text(
            f"embedstore drift · version {found.store_version} · {found.pictures:,} pictures · teacher {store.teacher}",
            f"embedstore drift · バージョン {found.store_version} · 画像 {found.pictures:,} 枚 · 教師 {store.teacher}",
        ),
        lead=first,
    )


def write_drift_page(found: DriftReport, batch: Batch, store: EmbeddingStore, path: str | os.PathLike[str]) -> None:
    """Write the page, complete or not at all; an earlier page of that name is replaced.

    Raises:
        SettingsError: the path can't be used; see `odd_page.check_page_path`.
    """
    target = check_page_path(path)
    write_whole(target, drift_page(found, batch, store).encode())


def _figures(found: DriftReport) -> Markup:
    parts = Text(f"of {found.parts} parts", f"部品 {found.parts} 個")
    if not found.parts_known:
        parts = Text("parts not known", "部品は不明")
    return key_figures(
        key_figure(
            percent(found.p, 1),
            Text("of unchanged batches look as different", "変化のないバッチがこれほど違う割合"),
            Text(f"alarm: {percent(found.false_alarms, 1)} or less", f"{percent(found.false_alarms, 1)} 以下で警報"),
            strong=True,
        ),
        key_figure(f"{found.pictures}", Text("pictures", "画像"), parts),
        key_figure(
            f"{found.outside}",
            Text("outside of all that the store has", "ストアのどの画像からも離れた画像"),
            Text(
                f"by chance about {number(found.pictures / 100, 1)}", f"偶然なら約 {number(found.pictures / 100, 1)} 枚"
            ),
        ),
        key_figure(
            percent(found.beyond),
            Text("beyond their prototype's radius", "代表例の半径の外"),
            Text(f"held-out parts: {percent(found.usual_beyond)}", f"取り分けた部品：{percent(found.usual_beyond)}"),
        ),
    )


def _labels(found: DriftReport) -> Markup:
    rows: list[list[Value | Cell]] = [
        [
            row.label or WITHOUT,
            row.pictures,
            Cell(row.share, _store(percent(row.usual_share))),
            Cell(row.beyond, _store(percent(row.usual_beyond))),
            Cell(row.shift, None if row.usual_shift is None else _usual(f"≤ {number(row.usual_shift, 2)}")),
            Cell(
                row.spread,
                None if row.usual_spread is None else _usual(" – ".join(number(one, 2) for one in row.usual_spread)),
            ),
        ]
        for row in found.labels
    ]
    return table(
        _columns(Text("Nearest label", "最も近いラベル")),
        rows,
        caption=Text("The batch, by the label that its pictures are nearest to", "バッチの画像（最も近いラベル別）"),
        note=Text(
            "Usual: 95 of 100 batches drawn from all parts have it so.",
            "通常：全部品から抜き出したバッチ 100 個中 95 個の範囲。",
        ),
    )


def _prototypes(found: DriftReport) -> Markup:
    rows: list[list[Value | Cell]] = [
        [
            Cell(row.name or WITHOUT, row.typical),
            row.pictures,
            Cell(row.share, _store(percent(row.usual_share))),
            Cell(row.beyond, _store(percent(row.usual_beyond))),
            row.shift,
            row.spread,
        ]
        for row in found.prototypes
        if row.pictures
    ]
    return table(
        _columns(Text("Nearest prototype", "最も近い代表例")),
        rows,
        caption=Text("The batch, around each prototype that it comes near", "代表例ごとのバッチの画像"),
        note=Text(
            "Below its name: the real picture nearest to it.", "名前の下は、その代表例に最も近い実際の画像です。"
        ),
    )


def _columns(first: Text) -> list[Column]:
    return [
        Column(first),
        Column(Text("Pictures", "画像"), "number"),
        Column(Text("Share", "割合"), "percent", 0),
        Column(Text("Beyond radius", "半径の外"), "percent", 0),
        Column(Text("Shift of the mean", "平均のずれ"), "number", 2),
        Column(Text("Spread", "広がり"), "number", 2, note=Text("store: 1", "ストア：1")),
    ]


def _store(text: str) -> Text:
    return Text(f"store {text}", f"ストア {text}")


def _usual(text: str) -> Text:
    return Text(f"usual {text}", f"通常 {text}")


def _moved_title(found: DriftReport) -> Text:
    return Text(f"The {len(found.moved)} pictures that moved most", f"最も大きく動いた画像 {len(found.moved)} 枚")


def _cards(found: DriftReport, batch: Batch, store: EmbeddingStore) -> Markup:
    place = {sample.id: at for at, sample in enumerate(batch.samples)}
    return gallery.odd_samples([_card(one, batch.picture(place[one.id]), store) for one in found.moved])


def _card(moved: MovedPicture, picture: Path | None, store: EmbeddingStore) -> gallery.OddSample:
    typical = store.sample(moved.typical)
    facts: list[tuple[Words, Words]] = [
        (Text("Distance to its prototype", "代表例までの距離"), number(moved.distance, 2)),
        (Text("Radius of the prototype", "代表例の半径"), number(moved.radius, 2)),
        (Text("Percentile in the store", "ストア内のパーセンタイル"), number(moved.percentile, 0)),
    ]
    if moved.group is not None:
        facts.append((Text("Part", "部品"), moved.group))
    why = Text(
        f"Of 100 pictures of the store, {moved.percentile:.0f} stand less apart from pictures of other parts.",
        f"ストアの画像 100 枚中 {moved.percentile:.0f} 枚は、他の部品の画像からこれほど離れていません。",
    )
    return gallery.OddSample(
        picture=gallery.Picture(moved.id, picture),
        label=moved.label or WITHOUT,
        why=why,
        figures=facts,
        prototype=moved.prototype or WITHOUT,
        prototype_pictures=[
            gallery.Picture(typical.id, None if leaves(typical.uri) else store.image_root / typical.uri, typical.mode)
        ],
        reason=_reason(moved),
    )


def _reason(moved: MovedPicture) -> Text:
    if moved.outside:
        return Text("Outside of all that the store has", "ストアのどの画像からも離れている")
    if moved.distance > moved.radius:
        return Text("Beyond the radius of its prototype", "代表例の半径の外")
    return Text("Among the usual", "通常の範囲内")


def _explanation(found: DriftReport) -> Markup:
    return bullets(
        Text(
            "The answer: random batches of as many parts are drawn from store and batch together, with as many of each label. An "
            "alarm is raised where few of them differ as much as this batch; the rate is of all tests together.",
            "判定：ストアとバッチを合わせた中から、同じ部品数・同じラベル構成のバッチを無作為に抜き出します。"
            "このバッチほど違うものがまれなら警報です。率はすべての検定を合わせたものです。",
        ),
        Text(
            f"Many pictures a little: energy distance, {percent(found.p_whole, 1)}. A few pictures far: "
            f"{percent(found.p_few, 1)}. Without the pictures outside: {percent(found.p_rest, 1)}.",
            f"多くの画像が少し動く変化（エネルギー距離）：{percent(found.p_whole, 1)}。"
            f"一部が遠い変化：{percent(found.p_few, 1)}。離れた画像を除いた場合：{percent(found.p_rest, 1)}。",
        ),
        Text(
            "Radius: within it lie at least 95 of 100 pictures of parts that the prototypes never saw.",
            "半径：代表例の作成に使わなかった部品の画像 100 枚中 95 枚以上が入る距離です。",
        ),
        Text(
            "Outside: standing apart from pictures of other parts more than 99 of 100 pictures of the store do; a new kind does "
            "not vouch for itself, unless it is over a quarter of the batch.",
            "離れた画像：他の部品の画像からの距離が、ストアの画像 100 枚中 99 枚より大きいもの"
            "（バッチの 4 分の 1 までの新しい種類も含みます）。",
        ),
        Text(
            "Distances are between the directions in which the teacher sees two pictures, from 0 (the same) to 2.",
            "距離：教師モデルが捉えた二つの画像の向きの差。0（同じ）から 2 までの値です。",
        ),
        Text(
            "Brightness is the mean grey of a picture; contrast its spread, as a share of that; sharpness the step between "
            "neighbouring pixels, as a share of the spread. The teacher hardly sees these, so they are measured by themselves.",
            "明るさは画像の平均輝度、コントラストは平均輝度に対する輝度のばらつき、鮮明さはそのばらつきに対する隣り合う画素の差です。"
            "教師モデルには見えにくいため、別に測ります。",
        ),
        Text(
            "Quiet is no proof: a rare kind in a small batch is not found, nor a change that shows neither to the teacher nor in "
            "brightness, contrast and sharpness.",
            "「変化なし」は証明ではありません。小さなバッチ中のまれな不良や、教師モデルにも明るさ・コントラスト・鮮明さにも"
            "現れない変化は見つかりません。",
        ),
    )
