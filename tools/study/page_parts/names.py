"""What conditions are in Japanese, and to which way of choosing they belong."""

from __future__ import annotations

import re

from embedstore.pages import Text

_JA = {
    "teacher-probe": "教師自身のベクトルに線形分類器（生徒なし）",
    "teacher-neighbours": "教師の空間での近傍（生徒なし）",
    "patches": "教師の先頭 5 段の特徴マップのパッチ（生徒なし）",
    "teacher-probe-two": "EfficientNet-Lite0 と -Lite2 のベクトルを並べ、線形分類器で判定（生徒なし）",
    "teacher-probe-maxima": "教師のベクトルに、前の 2 段の最大値を加え、線形分類器で判定（生徒なし）",
    "none": "保存したビューでの通常の学習",
    "own": "画像ごとの埋め込み、ビュー 8 つを再現",
    "class-mean": "クラス平均",
    "clip-embed-kd": "CLIP-Embed-KD、論文どおり",
    "clip-embed-kd-corrected": "CLIP-Embed-KD の修正版：中心化、対照損失、温度つき",
    "sub-prototypes": "k-means、代表例の個数は既定の自動選択",
    "rare-samples": "希少な画像はそのまま残し、他は k-means（既定）",
    "rotated-means": "対照：クラス平均を無作為に回転",
    "shuffled-own": "対照：埋め込みをクラス内で入れ替え",
    "live-teacher-fresh": "教師を生徒と並べて動かし、切り出しを毎回引き直す（学習 1 回のみ）",
    "trunk": "教師の先頭の 5 段をストアなしで 10 エポック微調整",
    "trunk-30": "教師の先頭の 5 段をストアなしで 30 エポック微調整",
    "trunk-own-30": "教師の先頭の 5 段から、画像ごとの埋め込みで 30 エポック",
    "compressed-16-even": "画像ごとの埋め込みを 1 ビュー 16 バイトに圧縮、希少な画像も同じ",
    "own-long": "画像ごとの埋め込み、ビュー 32 を再現、埋め込みだけで 200 エポック、その後 100 エポック",
    "none-long": "保存したビューでの通常の学習、ビュー 32、300 エポック",
    "own-two": "画像ごとの埋め込み、教師 2 つを並べて使用",
    "own-160px": "画像ごとの埋め込み、生徒が見る画像を 96 でなく 160 画素に",
}
_SIZED_JA = {  # with a number at the end of the name
    "k-means": "k-means、代表例はラベルごとに {} 個",
    "random": "対照：無作為に選んだ {} % をそのまま残す",
    "herding": "対照：herding で選んだ {} % をそのまま残す",
    "rare": "最も希少な {} % をそのまま残し、他はラベルごとに平均 32 個",
    "compressed": "画像ごとの埋め込みを 1 ビュー {} バイトに圧縮、再現の悪い 1 割は 64 バイト",
}
_ASKED_JA = {  # at the end of the name of a condition that asks another one's students
    "neighbours": "、最も近い学習画像を使って答えさせる",
    "both": "、ヘッドと最も近い学習画像の平均で答えさせる",
    "distribution": "、クラスごとの分布を使って答えさせる",
}
_TRIED_JA = {  # recipes of the search
    "as it is": "そのまま",
    "balance .5": "バランス .5",
    "logit adjustment 1": "ロジット調整 1",
    "moving average .99": "重みの移動平均 .99",
    "lambda 1": "λ 1",
    "lambda 5": "λ 5",
    "lambda 5, balance .5": "λ 5、バランス .5",
    "lambda 5, a third pre-training": "λ 5、3 分の 1 を事前学習",
}
_DATA_JA = {
    "magnetic-tile": "磁性タイル：良品と不良の 2 ラベル。不良 5 種類の区別は学習に使わない",
    "magnetic-tile-given": "同じタイル、付属のグループのまま（リークあり）",
    "magnetic-tile-thinned": "同じタイル、良品と不良の 2 ラベル。Blowhole と Break はごく一部の部品だけで学習し、全部品でテスト",
    "magnetic-tile-six": "同じタイルを 6 ラベル（良品と不良 5 種類）で学習。論文の手法は本来この形で使われる",
}
_SIZE = re.compile(r"-(\d+)(?=-|$)")
_SIDE = re.compile(r"-(\d+)px$")
LONG = "-long"  # ends the name of a condition of more epochs than the usual ones, before the side of its pictures
_SAME = {"sub-prototypes": "k-means", "rare-samples": "rare", "random-samples": "random"}
MEANS, RANDOM = "k-means", "random"


def described(name: str, says: str) -> Text:
    """Return what a condition is; the English sentence where nobody has written the Japanese one."""
    return Text(says, _japanese(name) or says)


def pictures_of(data: str, says: str) -> Text:
    """Return what a set of pictures is, as a sentence."""
    return Text(f"{says[0].upper()}{says[1:]}.", f"{_DATA_JA.get(data, says)}。")


def recipe_named(name: str) -> Text:
    """Return what a recipe of the search is called."""
    return Text(name, _TRIED_JA.get(name, name))


def family(name: str) -> str:
    """Return the way of choosing: the name without its numbers, `k-means` of `k-means-32` and of `k-means-32-160px`."""
    plain = _SIZE.sub("", usual(name))
    return _SAME.get(plain, plain)


def usual(name: str) -> str:
    """Return what a condition is called that is trained as long as usual, on pictures of the usual size: `own` of `own-160px`."""
    return _SIDE.sub("", name).removesuffix(LONG)


def parents_of(name: str) -> list[str]:
    """Return what differs from a condition in its length or in the size of its pictures alone, and is nearer to the usual.

    `own-long` and `own-160px` of `own-long-160px`, `own` of `own-long`; nothing of one of usual length and size.
    """
    side = _SIDE.search(name)
    smaller = _SIDE.sub("", name)
    shorter = smaller.removesuffix(LONG) + (side[0] if side else "")
    return [one for one in (smaller, shorter) if one != name]


def line_of(name: str) -> str:
    """Return to which line of a picture a condition belongs: its family, trained as long, on pictures of its size."""
    return family(name) + name.removeprefix(usual(name))


def seeds_named(count: int) -> Text:
    """Return a number of seeds in words."""
    return Text(f"{count} seed{'' if count == 1 else 's'}", f"乱数 {count} 通り")


def is_rare_aware(name: str) -> bool:
    """Return whether a summary keeps more of rare samples than of others."""
    return family(name) in ("rare", "compressed")


def _japanese(name: str) -> str | None:
    base, _, answer = name.rpartition("-")
    if answer == "patches" and base:
        return f"{base} と、教師の先頭 5 段の特徴マップのパッチ"
    if answer in _ASKED_JA and _japanese(base) is not None and name not in _JA:
        return f"{base} の生徒に{_ASKED_JA[answer]}"
    if name not in _JA and (side := _SIDE.search(name)) and (plain := _japanese(_SIDE.sub("", name))) is not None:
        return f"{plain}、{side[1]} 画素"
    number = _SIZE.search(name)
    if name in _JA or number is None:
        return _JA.get(name)
    sized = _SIZED_JA.get(_SIZE.sub("", name))
    return None if sized is None else sized.format(number[1])
