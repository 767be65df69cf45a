"""A sample's card and the prototypes: the same words as in the terminal and the file, and nothing that is not escaped."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import store_of, unit_vectors
from inspected import COUNT, HOSTILE_ID, client_of, name_of
from starlette.testclient import TestClient

import embedstore
from embedstore.analysis.odd_samples import Comparison, find_odd, why
from embedstore.analysis.suggestions import KINDS as SUGGESTED
from embedstore.pages.odd_page import VERDICTS
from embedstore.triage import KINDS as SAID
from embedstore_inspector.words import WORDS

V = {"v": "1"}


class Tags(HTMLParser):
    """All tags with their attributes, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def card(client: TestClient, sample_id: str) -> Tags:
    response = client.get("/card", params=V | {"id": sample_id})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    return Tags(response.text)


def test_a_card_says_what_inspect_says(client: TestClient, line: Path) -> None:
    with embedstore.open(line / "store") as store:
        for listed in find_odd(store, top=3).by_label.values():
            for odd in listed:
                shown = card(client, odd.id)
                assert why(odd) in shown.text
                assert why(odd, "ja") in shown.text
                links = [unquote(one["href"].removeprefix("#sample=")) for one in shown.of("a")]
                assert odd.prototype is not None
                assert links == [*odd.prototype.typical, *(near.id for near in odd.nearest)]
                (at,) = [one["data-at"] for _, one in shown.tags if "data-at" in one]
                assert store.ids[int(at)] == odd.id


def test_any_sample_has_a_card_with_its_pictures_and_attributes(client: TestClient) -> None:
    for number in (2, 3, COUNT - 1):
        shown = card(client, name_of(number))
        pictures = [one["src"] for one in shown.of("img")]
        assert "side=1024" in pictures[0]
        assert all(client.get(one).status_code == 200 for one in pictures)
        assert ("night" if number % 2 else "day") in shown.text
        assert len(shown.of("svg")) >= 2


def test_a_hostile_name_is_text_and_nothing_else(client: TestClient) -> None:
    for shown in (card(client, HOSTILE_ID), card(client, name_of(2)), Tags(client.get("/prototypes", params=V).text)):
        assert not shown.of("script")
        for tag, attributes in shown.tags:
            assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert all(one["src"].startswith("/thumbnail?id=") for one in shown.of("img"))
        assert all(one["href"].startswith("#sample=") for one in shown.of("a"))
    assert HOSTILE_ID in card(client, HOSTILE_ID).text


def test_the_prototypes_are_told_with_what_is_in_them(client: TestClient, line: Path) -> None:
    shown = Tags(client.get("/prototypes", params=V).text)
    with embedstore.open(line / "store") as store:
        comparison = Comparison(store)
        modes = {sample.id: sample.mode for sample in store.samples}
    buttons = {one["data-name"]: int(one["data-prototype"]) for one in shown.of("button")}
    assert buttons == {name: at for at, name in enumerate(comparison.names)}
    sizes = Counter(len(comparison.summary.members(at)) for at in buttons.values())
    assert Counter(map(int, re.findall(r"Stands for代表する画像(\d+)", shown.text))) == sizes
    hairlines = Counter(
        sum(modes[one] == "hairline" for one in comparison.summary.members(at)) for at in buttons.values()
    )
    del hairlines[0]
    assert Counter(map(int, re.findall(r"hairline (\d+)", shown.text))) >= hairlines


def test_where_nothing_can_be_compared_a_picture_is_still_shown_and_why_is_told(tmp_path: Path) -> None:
    store_of(tmp_path / "bare", unit_vectors(1, 5)).close()
    with client_of(tmp_path / "bare") as bare, embedstore.open(tmp_path / "bare") as store:
        shown = card(bare, store.ids[3])
        assert [one["data-at"] for _, one in shown.tags if "data-at" in one] == ["3"]
        assert [unquote(one["src"]) for one in shown.of("img")] == [
            f"/thumbnail?id={store.ids[3]}&c={store.content_at(3).hex()}&side=1024"
        ]
        assert "The pictures can't be compared" in shown.text
        assert "画像を比較できません" in shown.text
        assert bare.get("/card", params=V | {"id": "x"}).status_code == 404


def test_no_word_lets_dirt_be_taken_for_a_defective_part() -> None:
    said = [one.ja.replace("レンズの汚れ", "") for one in [*WORDS.values(), *VERDICTS.values()]]
    assert not [one for one in said if "汚れ" in one or "不良" in one.replace("撮影不良", "")]


@pytest.mark.parametrize("name", WORDS)
def test_both_languages_tell_the_same_values(name: str) -> None:
    said = WORDS[name]
    places = [sorted(re.findall(r"\{(\w+)\}", one)) for one in (said.en, said.ja)]
    assert places[0] == places[1]
    assert said.ja.strip()
    assert not re.search(r"[,;]|\.(?!\d)", said.ja), "Japanese has its own stops"


def test_every_word_is_used_and_every_word_that_is_used_is_there() -> None:
    import embedstore_inspector

    root = Path(embedstore_inspector.__file__).parent
    texts = {
        path: path.read_text("utf-8")
        for path in root.rglob("*")
        if path.suffix in (".js", ".html", ".py") and path.name != "words.py"
    }
    everything = "".join(texts.values())
    # Words whose names are made of a part and a verdict or a kind of suggestion.
    families = {"verdict_": SAID, "said_": SAID, "short_": SAID, "kind_": SUGGESTED}
    made = {family + kind for family, kinds in families.items() for kind in kinds}
    made |= {f"means_{kind}" for kind in ("wrong-label", "twin")}  # those with a value
    assert made <= set(WORDS)
    for family in (*families, "means_"):
        assert family in everything
    for name in set(WORDS) - made:
        assert re.search(rf"""["'.]{name}\b|\b{name}["']""", everything), name
    for path, text in texts.items():
        asked = re.findall(
            r"""(?:\bboth|\bpair|\bsay|\bbutton)\("(\w+)"|data-(?:label|placeholder|words)="(\w+)"|words\.(\w+) \}\}""",
            text,
        )
        for name in filter(None, (one for found in asked for one in found)):
            assert name in WORDS, (path.name, name)
