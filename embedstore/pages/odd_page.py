"""Odd samples as pictures: each beside what its nearest prototype stands for and the samples nearest to it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup

from embedstore.analysis.odd_reasons import REACH
from embedstore.analysis.odd_samples import Neighbour, OddSample, OddSamples, Reason, why
from embedstore.errors import SettingsError
from embedstore.files import try_to_write, write_whole
from embedstore.images import leaves
from embedstore.pages import gallery
from embedstore.pages.page import bullets, callout, fold, render_page, section
from embedstore.pages.tables import Column, table
from embedstore.pages.words import Text, Words, number

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.store.embedding_store import EmbeddingStore

REASONS: dict[Reason, Text] = {
    "nothing-to-compare": Text("No prototype of other parts", "他の部品の代表例がない"),
    "nothing-near": Text("Stands apart: no other part is near", "他から離れている：近くに別の部品がない"),
    "other-label": Text("Like parts of another label only", "似た部品がすべて別のラベル"),
    "between-labels": Text("Between two labels", "二つのラベルの中間"),
    "averaged-away": Text("Like some parts, but no prototype", "似た部品はあるが、似た代表例がない"),
    "edge": Text("At the edge of its label", "ラベルの端"),
    "nothing-special": Text("Nothing special", "特に変わった点はない"),
}
WITHOUT = Text("without a label", "ラベルなし")
VERDICTS = {
    "rare": Text("rare and real", "まれだが実在するもの"),
    "wrong-label": Text("label was wrong", "ラベルを訂正済み"),
    "dirt": Text("dirty lens or bad picture", "撮影不良（レンズの汚れ、ピンぼけなど）"),
    "twin": Text("twin of another", "他の画像と同じ部品"),
}


def odd_cards(found: OddSamples, store: EmbeddingStore, *, images: str | os.PathLike[str] | None = None) -> Markup:
    """Return a card for each odd sample, label after label.

    Args:
        found: by `find_odd`.
        store: that it was found in.
        images: the folder of the pictures, where they are no longer where the store remembers them. A picture that is
            not there leaves a frame that says so.
    """
    return Markup("").join(_cards(listed, store, images) for listed in found.by_label.values())


def odd_page(found: OddSamples, store: EmbeddingStore, *, images: str | os.PathLike[str] | None = None) -> str:
    """Return a whole page of odd samples, one section a label; see `odd_cards`."""
    listed = sum(len(odd) for odd in found.by_label.values())
    name = store.path.resolve().name
    return render_page(
        Text(f"The oddest pictures of {name}", f"{name} の特異な画像"),
        [
            _overview(found),
            *(
                section(
                    _title(label, len(odd), found.counts[label]),
                    _cards(odd, store, images),
                )
                for label, odd in found.by_label.items()
            ),
        ],
        kicker=Text(
            f"embedstore inspect · version {store.version} · {len(store):,} pictures · teacher {store.teacher}",
            f"embedstore inspect · バージョン {store.version} · 画像 {len(store):,} 枚 · 教師 {store.teacher}",
        ),
        lead=Text(
            f"These {listed} pictures are least like the others of their label. The farthest from what is usual come first: look "
            "there for rare kinds and spoilt pictures.",
            f"同じラベルの他の画像に最も似ていない {listed} 枚です。通常の画像から遠い順に並んでいます。"
            "まれな種類や不具合のある画像は、まず先頭から探してください。",
        ),
    )


def check_page_path(path: str | os.PathLike[str]) -> Path:
    """Return the path that a page can be written to; an earlier page there is replaced.

    Raises:
        SettingsError: it does not end in `.html`, is a directory, or lies in one that does not exist.
        OSError: the system does not let it be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".html":
        raise SettingsError(f"The page '{target}' does not end in .html; give a name that does, such as odd.html.")
    if target.is_dir():
        raise SettingsError(f"'{target}' is a directory; give the name of a file, such as '{target / 'odd.html'}'.")
    if not target.parent.is_dir():
        raise SettingsError(f"The directory '{target.parent}' does not exist; make it first.")
    try_to_write(target)
    return target


def write_odd_page(
    found: OddSamples,
    store: EmbeddingStore,
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
) -> None:
    """Write the page of odd samples, complete or not at all; an earlier page of that name is replaced.

    Raises:
        SettingsError: the path can't be used; see `check_page_path`.
    """
    target = check_page_path(path)
    write_whole(target, odd_page(found, store, images=images).encode())


def _cards(listed: Sequence[OddSample], store: EmbeddingStore, images: str | os.PathLike[str] | None) -> Markup:
    root = store.image_root if images is None else Path(images)

    def show(sample_id: str, uri: str, caption: Words | None = None) -> gallery.Picture:
        return gallery.Picture(sample_id, _file(root, uri), caption)

    return gallery.odd_samples([odd_card(odd, store, show) for odd in listed])


class Show(Protocol):
    """How a page shows a sample: as a file, or as an address with a link to more."""

    def __call__(self, sample_id: str, uri: str, caption: Words | None = None) -> gallery.Picture:
        """Return the picture of a sample."""
        ...


def odd_card(odd: OddSample, store: EmbeddingStore, show: Show) -> gallery.OddSample:
    """Return what the card of an odd sample says, for `gallery.odd_samples`."""
    facts: list[tuple[Words, Words]] = []
    if odd.mode not in (None, odd.label):
        facts.append((Text("Kind", "種類"), str(odd.mode)))
    if odd.distance is not None:
        facts.append((Text("Distance to its prototype", "代表例までの距離"), number(odd.distance, 2)))
    if odd.percentile is not None:
        facts.append((Text("Percentile in its prototype", "代表例内のパーセンタイル"), number(odd.percentile, 0)))
    if odd.group is not None:
        facts.append((Text("Part", "部品"), odd.group))
    if odd.split is not None:
        facts.append((Text("Side", "用途"), odd.split))
    if odd.verdict is not None:
        facts.append((Text("Verdict", "判定"), VERDICTS.get(odd.verdict, odd.verdict)))
    if odd.alike:
        facts.append((Text("More pictures like it of this part", "この部品の似た画像"), f"+{odd.alike}"))
    return gallery.OddSample(
        picture=show(odd.id, odd.uri),
        label=WITHOUT if odd.label is None else odd.label,
        why=Text(why(odd), why(odd, "ja")),
        figures=facts,
        prototype=None
        if odd.prototype is None
        else Text(
            f"{odd.prototype.name}, stands for {odd.prototype.members} pictures of other parts",
            f"{odd.prototype.name}（他の部品の画像 {odd.prototype.members} 枚を代表）",
        ),
        prototype_pictures=[]
        if odd.prototype is None
        else [_typical(store.sample(one), show) for one in odd.prototype.typical],
        neighbours=[_neighbour(near, show) for near in odd.nearest],
        reason=REASONS[odd.reason],
    )


def _typical(sample: Sample, show: Show) -> gallery.Picture:
    return show(sample.id, sample.uri, _kind(sample.label, sample.mode))


def _neighbour(near: Neighbour, show: Show) -> gallery.Picture:
    kind = _kind(near.label, near.mode)
    away = number(near.distance, 2)
    caption = Text(f"{kind.en}, {away}", f"{kind.ja}、{away}") if isinstance(kind, Text) else f"{kind}, {away}"
    return show(near.id, near.uri, caption)


def _kind(label: str | None, mode: str | None) -> Words:
    if label is None:
        return WITHOUT
    return label if mode in (None, label) else f"{label} ({mode})"


def _file(root: Path, uri: str) -> Path | None:
    """Return where a picture is; None where the path leads out of the folder, as one of a hostile store may."""
    return None if leaves(uri) else root / uri


def _title(label: str | None, listed: int, count: int) -> Text:
    if label is None:
        return Text(
            f"Without a label: the oddest {listed} of {count:,}", f"ラベルなし：{count:,} 枚のうち特異な {listed} 枚"
        )
    return Text(f"{label}: the oddest {listed} of {count:,}", f"{label}：{count:,} 枚のうち特異な {listed} 枚")


def _overview(found: OddSamples) -> Markup:
    counts = {label: Counter(odd.reason for odd in listed) for label, listed in found.by_label.items()}
    columns = [Column(Text("What is odd", "特異な点"))]
    columns += [Column(WITHOUT if label is None else label, "number") for label in counts]
    rows = [
        [name, *(counts[label][reason] or None for label in counts)]
        for reason, name in REASONS.items()
        if any(counts[label][reason] for label in counts)
    ]
    return section(
        Text("What is odd about them", "どこが特異か"),
        table(columns, rows, caption=Text("Pictures listed below, by reason", "以下に示す画像の枚数（理由別）")),
        *[callout(Text("Note", "注意"), Text(*remark), kind="note") for remark in found.remarks],
        fold(Text("How to read it", "見方"), _explanation(found)),
        lead=Text(*found.compared_with),
    )


def _explanation(found: OddSamples) -> Markup:
    near = {label: loss.near for label, loss in found.against.averaging_loss.items() if loss.near is not None}
    return bullets(
        Text(
            "Order: by the distance to the nearest prototype; pictures that can be compared with none come before all others.",
            "並び順：最も近い代表例までの距離が大きい順です。比較できる代表例がない画像は先頭に並びます。",
        ),
        Text(
            "Distance: between the directions in which the teacher sees two pictures, from 0 (the same) to 2.",
            "距離：教師モデルが捉えた二つの画像の向きの差。0（同じ）から 2 までの値です。",
        ),
        Text(
            "Near: half of the pictures of a label have another part of that label within this distance: "
            + (", ".join(f"{label} {value:.2f}" for label, value in near.items()) or "unknown")
            + f". A part is called like another within {REACH} times that.",
            "近い：ラベルごとに、画像の半数がこの距離以内に同じラベルの別の部品を持ちます（"
            + ("、".join(f"{label} {value:.2f}" for label, value in near.items()) or "不明")
            + f"）。その {REACH} 倍以内にある部品を「似ている」と呼びます。",
        ),
        Text(
            "Nearest prototype: the nearest of the picture's label (or of any, if it has none), shown by its most typical "
            "pictures. Prototypes made from the picture's own part alone are passed over: they don't tell how usual it is.",
            "最も近い代表例：同じラベル（その代表例がない場合は全ラベル）の中で最も近いもので、典型的な画像を示しています。同じ部品だけから作られた代表例は、"
            "珍しさの判断に使えないため除いています。",
        ),
        Text(
            "Percentile: of 100 pictures of other parts that the prototype stands for, so many are nearer to it than this one.",
            "パーセンタイル：その代表例に属する別の部品の画像 100 枚のうち、より近くにある枚数です。",
        ),
        Text(
            "Nearest samples: pictures of other parts, of any label and from any side of the split, one a part.",
            "最も近い画像：別の部品の画像です。ラベルや用途（train、val、test）を問わず、部品ごとに 1 枚を示しています。",
        ),
        Text(
            "A wrong label among common pictures does not look odd, so it is not found here.",
            "よくある画像のラベルの誤りは特異に見えないため、ここでは見つかりません。",
        ),
    )
