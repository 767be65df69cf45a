"""What summaries are worth without any training, told from the record that `prototypes.py` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedstore.pages import Text, Words
from page_parts.markdown import Folded, Table, gap, share, size, with_interval

DECIDES = "mean_macro_mode_recall"
BASELINE = "sub-prototypes"
PROBED = (
    f"{BASELINE}, read by probe"  # what a likelihood is held against, for it weighs directions as a fitted probe does
)
_SIZES = ("prototypes", "vectors", "rank", "bytes")  # parameters that say how much is kept
_NO_GAP = (None, None, None)
_PARTS = {
    "curve": Text("Every summary against its bytes", "すべての要約と容量"),
    "reference": Text("What the space allows: fitted on all vectors", "参考：全ベクトルに当てはめた場合"),
    "rare score": Text("How rarity is scored", "希少さの測り方"),
    "division": Text("How prototypes are divided among the labels", "代表例のラベル間の配分"),
    "bits": Text(
        "Fewer bits a number, more prototypes in the same bytes",
        "1 数値あたりのビットを減らし、同じ容量で代表例を増やす",
    ),
    "distribution": Text("Class distributions", "クラスの分布"),
    "softness": Text("All prototypes speak, not the nearest alone", "最も近い代表例だけでなく全体で判定"),
    "fitted probe": Text("Prototypes read by a fitted probe", "代表例に分類器を当てはめて判定"),
}


@dataclass(frozen=True)
class Point:
    """A condition of the record.

    Attributes:
        name: with its parameters.
        part: of the study.
        family: the name without what says how much is kept; one line of a picture.
        nbytes: kept.
        recall: (value, low, high), averaged over kinds and over 2 to 10 % overkill.
        auroc: its value.
        gap: (value, low, high), recall minus that of k-means in as many bytes that is read as well; None for k-means itself, and
            for what was fitted on all vectors.
    """

    name: str
    part: str
    family: str
    nbytes: int
    recall: tuple[float, float, float]
    auroc: float | None
    gap: tuple[float, float, float] | None

    @property
    def is_baseline(self) -> bool:
        """Whether it is plain k-means, which the others are held against."""
        return self.part == "curve" and self.family.split(",")[0] == BASELINE

    @property
    def beats(self) -> bool:
        """Whether it is better than k-means beyond chance."""
        return self.gap is not None and self.gap[1] > 0


def points(record: Mapping[str, Any]) -> list[Point]:
    """Return the conditions of the record by bytes; those without the figure that decides are left out."""
    found = []
    for name, told in record["conditions"].items():
        recall = told["figures"].get(DECIDES)
        if recall is None or None in recall:
            continue
        rival = told["against"].get(PROBED, told["against"].get(BASELINE, {}))
        gap = None if told["part"] == "reference" else rival.get(DECIDES)
        whole = None if gap is None or None in gap else (gap[0], gap[1], gap[2])
        line = family(told["summary"], told["parameters"])
        area = told["figures"]["auroc"][0]
        found.append(Point(name, told["part"], line, told["bytes"], (recall[0], recall[1], recall[2]), area, whole))
    return sorted(found, key=lambda one: (one.nbytes, one.name))


def family(summary: str, parameters: Mapping[str, Any]) -> str:
    """Return the line that a condition belongs to; `own, few bits` differ by their bits alone."""
    sizes = (*_SIZES, "bits") if summary.endswith("few bits") else _SIZES
    return ", ".join([summary, *(f"{key} {value}" for key, value in parameters.items() if key not in sizes)])


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the document tells of the record."""
    data, protocol, found = record["data"], record["protocol"], points(record)
    parts = dict.fromkeys(one.part for one in found)
    curve = [one for one in found if one.part in ("curve", "reference")]
    return {
        "pictures": f"{data['pictures']:,}",
        "parts": data["parts"],
        "folds": protocol["folds"],
        "inner_folds": protocol["inner_folds"],
        "seeds": protocol["seeds"],
        "beaten": _beaten(found),
        "best": _table(best_of_each(curve)),
        "leak": _leak(record["leak"]),
        "all": [
            Folded(_PARTS.get(part, Text(part, part)), _table(one for one in found if one.part == part))
            for part in parts
        ],
    }


def best_of_each(found: Iterable[Point]) -> list[Point]:
    """Return the best condition of each family, the best family first."""
    best: dict[str, Point] = {}
    for one in found:
        if one.family not in best or one.recall[0] > best[one.family].recall[0]:
            best[one.family] = one
    return sorted(best.values(), key=lambda one: (-one.recall[0], one.name))


def finding(found: Sequence[Point]) -> Text:
    """Say how many summaries beat k-means."""
    rivals = [one for one in found if one.gap is not None and not one.is_baseline]
    better, total = sorted({one.family for one in rivals if one.beats}), len({one.family for one in rivals})
    if len(better) == 1:
        return Text(
            f"Without training, of {total} other summaries {better[0]} alone beats k-means in as many bytes, read alike",
            f"学習なしでは、{total} 種の要約のうち {better[0]} だけが、同じ容量・同じ読み方の k-means を上回る",
        )
    if not better:
        return Text(
            f"Without training, none of {total} other summaries beats k-means in as many bytes, read alike, beyond chance",
            f"学習なしでは、{total} 種の要約のどれも、同じ容量・同じ読み方の k-means を、偶然では説明できない差では上回らない",
        )
    return Text(
        f"Without training, {len(better)} of {total} other summaries beat k-means in as many bytes, read alike",
        f"学習なしで、同じ容量・同じ読み方の k-means を、偶然では説明できない差で上回る要約は、{total} 種のうち {len(better)} 種",
    )


def _beaten(found: Sequence[Point]) -> Text:
    """Say which conditions beat k-means of equal bytes, and how many do not."""
    held = [one for one in found if one.gap is not None and not one.is_baseline and one.part != "reference"]
    better = sorted((one for one in held if one.beats), key=lambda one: -(one.gap or (0,))[0])
    worse = sum(one.gap is not None and one.gap[2] < 0 for one in held)
    listed = [(one.name, share((one.gap or (0,))[0], 2, signed=True)) for one in better[:6]]
    named = "; ".join(f"{name} ({gained})" for name, gained in listed)
    named_ja = "、".join(f"{name}（{gained}）" for name, gained in listed)
    return Text(
        f"Of {len(held)} conditions, {len(better)} are above k-means in as many bytes, read alike, by the whole interval, "
        f"{worse} below{f': {named}' if better else ''}.",
        f"{len(held)} 条件のうち、区間全体で同容量・同じ読み方の k-means を上回ったものは {len(better)}、"
        f"下回ったものは {worse} です{f'（上位：{named_ja}）' if better else ''}。",
    )


def _leak(leak: Mapping[str, Mapping[str, float]]) -> Text | None:
    if len(leak) < 2:
        return None
    (area, recall), (flattered_area, flattered) = (
        (share(leak[how]["auroc"]), share(leak[how]["recall"])) for how in ("whole parts", "each picture alone")
    )
    return Text(
        "What the protocol keeps out: dealt picture by picture instead of by whole parts, all stored vectors reach AUROC "
        f"{flattered_area} instead of {area}, and recall {flattered} instead of {recall}.",
        f"部品単位ではなく画像単位で分けると、全ベクトルでの AUROC は {area} から {flattered_area} に、検出率は {recall} から "
        f"{flattered} に、見かけ上はね上がります。",
    )


def _table(found: Iterable[Point]) -> Table:
    rows: list[Sequence[Words]] = [
        [one.name, size(one.nbytes), with_interval(*one.recall), share(one.auroc), gap(*(one.gap or _NO_GAP))]
        for one in found
    ]
    heads = [
        Text("summary", "要約"),
        Text("bytes", "容量"),
        Text("recall, mean over kinds, 2 to 10 %", "検出率（種類と 2～10 % の平均）"),
        Text("AUROC", "AUROC"),
        Text("minus k-means of equal bytes, read alike", "同容量・同じ読み方の k-means との差"),
    ]
    return Table(heads, rows)
