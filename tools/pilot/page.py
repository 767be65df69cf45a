"""The pilot's page: for a plant manager first, for an engineer below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from distill.evaluation.comparison import Comparison
from distill.reports import comparison_page as parts
from distill.reports.words import short
from embedstore import Summary
from embedstore.pages import (
    Column,
    Text,
    bullets,
    callout,
    fold,
    key_figure,
    key_figures,
    render_page,
    section,
    table,
)
from embedstore.pages.summaries import hidden_modes, summaries_table, warnings_list


@dataclass(frozen=True)
class Embedding:
    """What the teacher's one look at every picture took."""

    pictures: int
    views: int  # beside the plain one
    embedded: int
    seconds: float


@dataclass(frozen=True)
class Pilot:
    """All that the page tells."""

    teacher: str
    embedding: Embedding
    epochs: int
    training_pictures: int
    twins: int  # pictures in groups of twins
    comparison: Comparison
    summaries: Sequence[Summary]
    odd: Markup
    machine: str
    unsure: dict[str, tuple[int, int]]  # policy -> rejected, of how many cells that the experts were unsure of
    quick: bool


def pilot_page(pilot: Pilot) -> str:
    """Return the page."""
    comparison = pilot.comparison
    return render_page(
        Text("Small detectors, taught once by a large one", "大きなモデルに一度だけ教わる、小さな欠陥検出器"),
        [
            *([_quick()] if pilot.quick else []),
            parts.headline(comparison),
            parts.misses(comparison),
            _costs(pilot),
            parts.sureness(comparison),
            _what_was_done(pilot),
            _hides(pilot),
            section(
                Text("The oddest cells", "最も特異なセル"),
                pilot.odd,
                lead=Text(
                    "The farthest from what is usual for their label, each beside the pictures that its nearest prototype "
                    "stands for: look here for rare defects and spoilt pictures.",
                    "ラベルの普段の姿から最も遠いセルを、最も近い代表例が表す画像と並べました。まれな欠陥や不具合のある画像は"
                    "ここに現れます。",
                ),
            ),
            section(Text("Doubtful cells", "判断が分かれたセル"), _unsure(pilot.unsure)),
            parts.details(comparison),
            _caveats(pilot),
        ],
        kicker=Text(
            f"embedstore pilot · {pilot.embedding.pictures:,} solar cells · teacher {pilot.teacher}",
            f"embedstore パイロット · 太陽電池セル {pilot.embedding.pictures:,} 枚 · 教師 {pilot.teacher}",
        ),
        lead=parts.answer(comparison),
        footer=Text(
            "Pictures: elpv-dataset (Buerhop-Lutz et al. 2018, Deitsch et al. 2019), CC BY-NC-SA 4.0; this page holds some of "
            f"them, so the same licence holds for it. Measured on {pilot.machine}.",
            "画像：elpv-dataset（Buerhop-Lutz ほか 2018、Deitsch ほか 2019）、CC BY-NC-SA 4.0。画像を含むため、このページにも同じ"
            f"ライセンスが適用されます。測定環境：{pilot.machine}。",
        ),
    )


def _quick() -> Markup:
    return callout(
        Text("A trial run", "試運転です"),
        Text(
            "Few cells and two epochs: this shows that everything runs. The figures mean nothing.",
            "少数のセルと 2 エポックだけの動作確認です。数値に意味はありません。",
        ),
    )


def _what_was_done(pilot: Pilot) -> Markup:
    one = pilot.embedding
    return section(
        Text("What was done", "行ったこと"),
        bullets(
            Text(
                f"A large model looked at each of {one.pictures:,} cells once, in {one.views + 1} views. What it saw was kept.",
                f"大きなモデルが {one.pictures:,} 枚のセルを 1 度だけ、{one.views + 1} 通りの見え方で見て、"
                "その結果を保存しました。",
            ),
            Text(
                f"Small detectors (0.3 million parameters) were then trained in {len(pilot.comparison.policies)} ways from what "
                "was kept, without the large model. They differ in nothing but what they are taught beside good or defect.",
                f"その後、小さな検出器（30 万パラメータ）を {len(pilot.comparison.policies)} 通りの方法で、"
                "大きなモデルなしで学習しました。"
                "違いは、良否のほかに何を教わるかだけです。",
            ),
            Text(
                "Each was tested on cells that it had never seen. How sure the experts were, and the type of the cell, was "
                "hidden from training and is used to report only.",
                "テストには学習に使っていないセルだけを使いました。専門家の確信度とセルの種類は学習には使わず、集計にのみ使っています。",
            ),
        ),
        parts.ways(pilot.comparison),
    )


def _costs(pilot: Pilot) -> Markup:
    one, runs = pilot.embedding, pilot.comparison.folds * pilot.comparison.seeds
    training = sum(policy.seconds for policy in pilot.comparison.policies) / len(pilot.comparison.policies) / runs
    figures = []
    if one.embedded:  # else nobody measured it, since an interrupted run had done some of it
        per_view = one.seconds / one.embedded
        once, live = per_view * one.pictures * (one.views + 1), per_view * pilot.training_pictures * pilot.epochs
        figures = [
            key_figure(
                Text(f"{once:.0f} s", f"{once:.0f} 秒"),
                Text("once, for all trainings to come", "一度だけ。以後の学習では不要"),
                Text(f"{1 / per_view:.0f} views a second", f"毎秒 {1 / per_view:.0f} ビュー"),
                strong=True,
            ),
            key_figure(
                Text(f"{live:.0f} s", f"{live:.0f} 秒"),
                Text("more for every training, if it ran along", "毎回同時に動かす場合の追加時間"),
                Text(
                    f"estimated: {pilot.epochs} epochs of {pilot.training_pictures:,} pictures at that speed",
                    f"推定：{pilot.training_pictures:,} 枚 × {pilot.epochs} エポック",
                ),
            ),
        ]
    figures.append(
        key_figure(
            Text(f"{training:.0f} s", f"{training:.0f} 秒"),
            Text("for a training from the store", "保存結果からの学習 1 回"),
            Text("mean over all ways", "全方法の平均"),
        )
    )
    title = Text("What the large model costs", "大きなモデルのコスト")
    return Markup("").join([section(title, key_figures(*figures)), parts.costs(pilot.comparison)])


def _hides(pilot: Pilot) -> Markup:
    warnings = warnings_list(pilot.summaries)
    return section(
        Text("What each summary hides", "要約に埋もれるもの"),
        summaries_table(pilot.summaries),
        fold(Text("By kind", "種類別"), hidden_modes(pilot.summaries)),
        *([fold(Text("In words", "説明文"), warnings)] if warnings else []),
        lead=Text(
            "A summary keeps a few prototypes in place of all pictures. A picture without a prototype near is one that it "
            "averages away.",
            "要約は全画像の代わりに少数の代表例を残します。近い代表例がない画像は、平均に埋もれます。",
        ),
    )


def _caveats(pilot: Pilot) -> Markup:
    return Markup("").join(
        [
            parts.caveats(pilot.comparison),
            callout(
                Text("About these cells", "このデータについて"),
                bullets(
                    Text(
                        "The cells come from 44 modules but carry no module numbers. Cells that look almost alike "
                        f"({pilot.twins} of them, mostly neighbours) were kept on one side of the split; other cells of the same "
                        "module were not, which makes all figures look better than they would on a new module.",
                        "セルは 44 枚のモジュールから取られていますが、モジュール番号はありません。ほぼ同じに見えるセル"
                        f"（{pilot.twins} 枚、多くは隣どうし）は同じ側にしましたが、同じモジュールの他のセルは分けられません。"
                        "新しいモジュールでは、ここに示す値より悪くなります。",
                    ),
                    Text(
                        f"{pilot.epochs} epochs are short; own embeddings gain most from long training with more views.",
                        f"{pilot.epochs} エポックは短く、画像ごとの埋め込みは長い学習と多くの見え方で効果が出ます。",
                    ),
                    Text(
                        "The teacher here is not CLIP where its name does not say so: no package index carries CLIP's weights.",
                        "教師名に CLIP とない場合、教師は CLIP ではありません"
                        "（CLIP の重みはパッケージとして配布されていません）。",
                    ),
                ),
            ),
        ]
    )


def _unsure(rejected: dict[str, tuple[int, int]]) -> Markup:
    return table(
        [
            Column(Text("way", "方法")),
            Column(Text("rejected", "不良と判定"), "number"),
            Column(Text("of", "件中"), "number"),
            Column(Text("share", "割合"), "percent"),
        ],
        [[short(policy), hit, total, hit / total if total else None] for policy, (hit, total) in rejected.items()],
        caption=Text("Cells that the experts were unsure of", "専門家の判断が分かれたセル"),
    )
