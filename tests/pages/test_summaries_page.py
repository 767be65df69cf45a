"""What summaries are likely to lose, on a page: as `Summary.warnings` says it, and in Japanese."""

import html
import re
from types import SimpleNamespace

import pytest
from drawings import HOSTILE
from helpers import store_of, unit_vectors

from embedstore.pages.summaries import hidden_modes, summaries_table, warnings_list
from embedstore.summaries.class_loss import ClassLoss
from embedstore.summaries.summary import Summary


def summary(name, *losses):
    """What a list of warnings reads of a summary."""
    one = SimpleNamespace(name=name, averaging_loss={loss.label: loss for loss in losses})
    one.warnings = Summary.warnings.fget(one)
    return one


def loss(label, far, far_modes, coded=False):
    return ClassLoss(label, 40, 0.5, 0.7, 0.9, "x.png", 0.6, far, far_modes, dict.fromkeys(far_modes, 20), coded)


def said(markup, language):
    return [html.unescape(text) for text in re.findall(rf'<span lang="{language}">(.*?)</span>', markup)]


def test_each_warning_is_there_in_both_languages():
    summaries = [
        summary("means", loss("good", 21, {}), loss("crack", 25, {"thin": 11, "wide": 10, "crack": 20})),
        summary("rare", loss("good", 20, {"thin": 10})),  # half is not most
        summary("all", loss("good", 40, {"thin": 20})),
    ]
    listed = warnings_list(summaries)
    assert said(listed, "en") == [f"{one.name}: {sentence}" for one in summaries for sentence in one.warnings]
    label = (
        "の過半数（画像 40 枚中 {} 枚）には近い代表例がなく、この要約だけではこのラベルの見た目がほとんど分かりません。"
    )
    kind = "の画像 20 枚中 {} 枚）には近い代表例がなく、この要約だけで学習すると見逃すおそれがあります。"
    assert said(listed, "ja") == [
        f"means：「good」{label.format(21)}",
        f"means：「crack」{label.format(25)}",
        f"means：種類「thin」の過半数（「crack」{kind.format(11)}",
        f"all：「good」{label.format(40)}",
        f"all：種類「thin」の過半数（「good」{kind.format(20)}",
    ]


def test_where_there_are_codes_they_are_named():
    listed = warnings_list([summary("few bytes", loss("crack", 25, {"thin": 11}, coded=True))])
    assert said(listed, "ja") == [
        "few bytes：「crack」の過半数（画像 40 枚中 25 枚）には近い符号がなく、"
        "この要約だけではこのラベルの見た目がほとんど分かりません。",
        "few bytes：種類「thin」の過半数（「crack」の画像 20 枚中 11 枚）には近い符号がなく、"
        "この要約だけで学習すると見逃すおそれがあります。",
    ]
    assert all("has no code near" in one for one in said(listed, "en"))


def made(path, *strategies):
    with store_of(path, unit_vectors(0, 40), labels=["good", "crack"] * 20, modes=["thin", "wide"] * 20) as store:
        return [store.summarize(strategy, name=strategy) for strategy in strategies]


@pytest.mark.parametrize(
    ("strategies", "en", "ja"),
    [
        (["class-mean"], "prototype", "代表例"),
        (["compressed-own"], "code", "符号"),
        (["class-mean", "compressed-own"], "prototype or code", "代表例・符号"),
    ],
)
def test_tables_and_charts_name_what_is_near_and_say_what_size_means(strategies, en, ja, tmp_path):
    summaries = made(tmp_path / "store", *strategies)
    table = summaries_table(summaries)
    assert said(table, "en").count(f"no {en} near") == said(table, "ja").count(f"近い{ja}なし") == 2
    assert sum(one.startswith("Size: of all that training needs of the summary") for one in said(table, "en")) == 1
    assert sum(one.startswith("「サイズ」とは、学習に必要な") for one in said(table, "ja")) == 1
    chart = hidden_modes(summaries)
    assert f"Training pictures with a {en} near, by kind" in said(chart, "en")
    assert f"近い{ja}がある学習画像（種類別）" in said(chart, "ja")


def test_a_kilobyte_is_of_a_thousand_bytes():
    one = summary("means", loss("good", 0, {}))
    one.labels, one.codes, one.training_bytes = ["good"], {}, lambda: 50_000
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", summaries_table([one]))]
    assert "50" in cells


def test_nothing_to_warn_of_leaves_nothing():
    assert warnings_list([]) == warnings_list([summary("rare", loss("good", 0, {}))]) == ""


def test_names_are_escaped():
    listed = warnings_list([summary(HOSTILE, loss(HOSTILE, 30, {f"{HOSTILE} thin": 15}))])
    assert HOSTILE not in listed
    assert listed.count("<span") == 4
    assert all(one.count(HOSTILE) >= 2 for language in ("en", "ja") for one in said(listed, language))
