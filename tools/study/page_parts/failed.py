"""What did not work, found in the figures."""

from __future__ import annotations

from collections.abc import Iterable

from results import Finished

from embedstore.pages import Text, Words
from page_parts.answer import DECIDES
from page_parts.evidence import PLAIN, Compared, Evidence, strongest_rival, trunks
from page_parts.markdown import code, codes, gap_of
from page_parts.names import MEANS, RANDOM, recipe_named, seeds_named, usual
from page_parts.tables import rival_in_bytes


def failed(evidence: Evidence, compared: Compared) -> list[Words]:
    """Return a sentence for each way in which something failed."""
    return [
        *_trained(compared, Text("", "")),
        *(one for fewer in compared.fewer_seeds for one in _trained(fewer, _few(fewer))),
        *_summaries(compared),
        *_searched(evidence),
    ]


def _few(compared: Compared) -> Text:
    seeds = seeds_named(compared.comparison.seeds)
    return Text(f", with {seeds.en}", f"{seeds.ja}で、")


def _trained(compared: Compared, few: Text) -> Iterable[Text]:
    """Yield what was no better than plain training, and which recipes gained nothing.

    Args:
        compared: conditions with the same runs.
        few: how few seeds they have, where that is to be told.
    """
    worse = Text("Worse than plain training in macro-mode recall", "種類の平均が通常の学習より悪い")
    like = Text("Not beyond chance better or worse than plain training", "通常の学習との差が偶然の範囲内")
    if few.en:  # one seed does not tell what chance does
        like = Text(
            "The interval of the difference to plain training includes zero", "通常の学習との差の区間が 0 を含む"
        )
    for verdict, title in (("less", worse), ("noise", like)):
        yield from _worse(compared, verdict, Text(title.en + few.en, few.ja + title.ja))
    yield from _recipes(compared, few)


def _worse(compared: Compared, verdict: str, title: Text) -> Iterable[Text]:
    found = [
        name
        for name in compared.of_part("baselines", "summaries", "recipes")
        if name not in compared.borrowed
        and not is_control(compared.finished[name])  # being no better is what a control is for
        and usual(name) != PLAIN
        and (one := compared.difference(name, compared.as_trained(PLAIN, name), DECIDES)) is not None
        and one.verdict == verdict
    ]
    if found:
        yield _listed(title, found)


def _recipes(compared: Compared, few: Text) -> Iterable[Text]:
    """Yield which recipes gained nothing over what they begin from.

    That is another condition's students, the same condition on smaller pictures or trained less long, or own embeddings; of the
    teacher's stages also the same without the store.
    """
    for name in compared.of_part("recipes"):
        about = compared.finished[name].about
        if about["method"] == PLAIN or name in compared.borrowed:
            continue  # what recipes are held against
        stages = [strongest_rival(compared, name)] if name in trunks(compared) else []
        for before in [*compared.before(name), *(one for one in stages if one is not None)]:
            one = compared.difference(name, before, DECIDES)
            if one is not None and one.verdict != "more":
                said = gap_of(one)
                yield Text(
                    f"{code(name)} was to go past {code(before)} and gained {said.en} in macro-mode recall{few.en}.",
                    f"{code(name)} は {code(before)} を超えるためのものですが、{few.ja}種類の平均の差は {said.ja}でした。",
                )


def is_control(one: Finished) -> bool:
    """Return whether a condition is there to be no better."""
    return str(one.about["says"]).startswith("control:")


def _summaries(compared: Compared) -> Iterable[Text]:
    """Yield which summaries are no better than k-means, or than random samples, of equal bytes."""
    for rival, said in (
        (MEANS, Text("k-means of as many bytes or more", "k-means（同容量以上）")),
        (RANDOM, Text("random samples of as many bytes or more", "無作為抽出（同容量以上）")),
    ):
        found = [
            name
            for name in compared.of_part("summaries")
            if (equal := rival_in_bytes(compared, name, rival)) is not None
            and (one := compared.difference(name, equal, DECIDES)) is not None
            and one.verdict != "more"
        ]
        if found:
            yield _listed(
                Text(f"Not above {said.en} beyond chance", f"{said.ja}を、偶然では説明できない差では上回らない"), found
            )


def _searched(evidence: Evidence) -> Iterable[Text]:
    """Yield which recipes of the search were worse than the first one, method by method."""
    if evidence.search is None:
        return
    told = []
    for method, tried in evidence.search["tried"].items():
        first, *others = tried
        lost = [name for name in others if tried[name]["val_auroc"] < tried[first]["val_auroc"]]
        if lost:
            told.append((method, lost))
    if told:
        english = "; ".join(f"{code(method)} with " + ", ".join(f"“{one}”" for one in lost) for method, lost in told)
        japanese = "；".join(
            f"{code(method)} の" + "".join(f"「{recipe_named(one).ja}」" for one in lost) for method, lost in told
        )
        yield Text(
            f"In the search, below the first recipe of its method: {english}.",
            f"設定の調整で、各方法の最初の設定を下回ったもの：{japanese}。",
        )


def _listed(title: Text, names: list[str]) -> Text:
    named = codes(names)
    return Text(f"{title.en}: {named.en}.", f"{title.ja}：{named.ja}。")
