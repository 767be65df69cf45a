"""Triage: what each verdict does to the fields, as one version; what later builds keep of it; what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import CountingTeacher, snapshot, write_pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_triage import IDS, make, rows, told

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import EmbedstoreError, SettingsError, StoreError
from embedstore.triage import Verdict, plan_triage, triage

RARE, DIRT = Verdict("rare"), Verdict("dirt")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    with make(tmp_path / "s") as opened:
        yield opened


# What it does


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (RARE, {"a.png": {"verdict": "rare"}}),
        (DIRT, {"a.png": {"verdict": "dirt", "split": "aside"}}),
        (Verdict("wrong-label", "pore"), {"a.png": {"verdict": "wrong-label", "label": "pore"}}),
        # Of P with two pictures and R with three, R goes on; of P and Q, P; a sample without a group joins.
        (Verdict("twin", "f.png"), {"a.png": {"verdict": "twin", "group": "R"}, "b.png": {"group": "R"}}),
        (Verdict("twin", "c.png"), {"a.png": {"verdict": "twin"}, "c.png": {"group": "P"}}),
        (Verdict("twin", "d.png"), {"a.png": {"verdict": "twin"}, "d.png": {"group": "P"}}),
        (Verdict("twin", "b.png"), {"a.png": {"verdict": "twin"}}),
    ],
)
def test_each_verdict_changes_its_fields_and_no_other(
    store: EmbeddingStore, verdict: Verdict, expected: dict[str, dict[str, str]]
) -> None:
    before = rows(store)
    change = triage(store, {"a.png": verdict})
    assert rows(store) == {one: row | expected.get(one, {}) for one, row in before.items()}
    assert (change.version, store.version, change.samples) == (2, 2, len(expected))
    assert change.fields == {
        name: {one: (before[one][name], own[name]) for one, own in expected.items() if name in own}
        for name in ("label", "split", "group", "verdict")
        if any(name in own for own in expected.values())
    }


@pytest.mark.parametrize("one", ["d.png", "i.png"])
def test_twins_of_which_none_has_a_group_get_one_that_no_other_sample_has(tmp_path: Path, one: str) -> None:
    groups = ["twins of d.png", None, None, None, None, None, None, None, None, None]
    with make(tmp_path / "s", groups=groups) as store:
        triage(store, {one: Verdict("twin", {"d.png": "i.png", "i.png": "d.png"}[one])})
        assert [row["group"] for row in rows(store).values()] == [
            "twins of d.png+" if name in ("d.png", "i.png") else group for name, group in zip(IDS, groups, strict=True)
        ]


ids = st.sampled_from(IDS)
said = st.one_of(
    st.sampled_from([RARE, DIRT, Verdict("wrong-label", "pore"), Verdict("wrong-label", "good")]),
    ids.map(lambda other: Verdict("twin", other)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(ids, said, max_size=6))
def test_many_at_once_are_what_plain_python_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, verdicts: dict[str, Verdict]
) -> None:
    verdicts = {one: verdict for one, verdict in verdicts.items() if verdict.value != one}
    with make(tmp_path_factory.mktemp("many") / "s") as store:
        before = rows(store)
        planned = plan_triage(store, verdicts)
        assert rows(store) == before
        change = triage(store, verdicts)
        assert rows(store) == told(before, verdicts)
        assert (change.fields, planned.version) == (planned.fields, None)
        assert change.version == (2 if verdicts else None)
        assert store.version == (2 if verdicts else 1)


def test_the_log_tells_which_verdicts_and_how_many(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE, "b.png": RARE, "c.png": DIRT})
    entry = store.log()[-1]
    assert (entry.action, dict(entry.details)) == ("triage", {"rare": 2, "dirt": 1})


def test_what_was_said_before_makes_no_version(store: EmbeddingStore) -> None:
    triage(store, {"a.png": RARE, "b.png": Verdict("twin", "f.png")})
    again = triage(store, {"a.png": RARE, "b.png": Verdict("twin", "f.png")})
    assert (again.version, again.fields, store.version) == (None, {}, 2)


def test_verdicts_are_found_by_a_filter_and_go_with_an_export(store: EmbeddingStore, tmp_path: Path) -> None:
    triage(store, {"a.png": RARE, "c.png": RARE, "b.png": DIRT})
    assert [store.ids[at] for at in store.where({"verdict": "rare"}).nonzero()[0]] == ["a.png", "c.png"]
    embedstore.export(store, tmp_path / "out.safetensors")
    embedstore.import_vectors(tmp_path / "again", tmp_path / "out.safetensors", teacher="by hand")
    with embedstore.open(tmp_path / "again") as again:
        assert again.field("verdict") == store.field("verdict")


# Who thinks again


def test_the_last_verdict_counts_and_labels_and_groups_stay(store: EmbeddingStore) -> None:
    triage(store, {"a.png": Verdict("wrong-label", "pore"), "d.png": Verdict("twin", "c.png")})
    triage(store, {"a.png": RARE, "d.png": RARE})
    row = rows(store)
    assert (row["a.png"]["verdict"], row["a.png"]["label"]) == ("rare", "pore")
    assert (row["d.png"]["verdict"], row["d.png"]["group"]) == ("rare", "Q")


def test_what_is_no_dirt_after_all_goes_back_to_its_side(store: EmbeddingStore) -> None:
    before = rows(store)
    triage(store, dict.fromkeys(["c.png", "e.png", "h.png"], DIRT))
    triage(store, {"j.png": DIRT})
    triage(store, {"c.png": RARE, "e.png": Verdict("wrong-label", "good"), "h.png": RARE})
    after = rows(store)
    assert [after[one]["split"] for one in ("c.png", "e.png", "h.png", "j.png")] == ["val", None, "aside", "aside"]
    untouched = [one for one in IDS if one[0] in "abdfgi"]
    assert [after[one] for one in untouched] == [before[one] for one in untouched]


def test_a_side_that_was_given_since_stays(store: EmbeddingStore) -> None:
    triage(store, {"a.png": DIRT})
    with store.write("relabel") as writing:
        writing.set("split", {"a.png": "val"})
    triage(store, {"a.png": RARE})
    assert store.sample("a.png").split == "val"


def test_another_picture_of_dirt_stays_aside_and_goes_back_where_the_first_was(store: EmbeddingStore) -> None:
    triage(store, {"a.png": DIRT})
    with store.write("replace") as writing:
        writing.add(["a.png"], store.vectors(["b.png"]), replace=True)
    assert store.sample("a.png").split == "aside"
    triage(store, {"a.png": RARE})
    assert store.sample("a.png").split == "train"


def test_where_a_compaction_removed_what_tells_the_side_that_is_said(store: EmbeddingStore) -> None:
    triage(store, {"a.png": DIRT})
    store.compact()
    with pytest.raises(
        StoreError, match=r"'a\.png' was set aside as dirt, and nothing tells any more .*ID train --field"
    ):
        triage(store, {"a.png": RARE})
    with store.write("relabel") as writing:
        writing.set("split", {"a.png": "train"})
    triage(store, {"a.png": RARE})
    assert store.sample("a.png").split == "train"


# What later commands keep


def test_a_later_build_and_split_keep_what_was_said(tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(6)]
    write_pictures(tmp_path / "images", names)
    verdicts = {
        "good/0.png": RARE,
        "good/1.png": Verdict("wrong-label", "crack"),
        "good/2.png": DIRT,
        "good/3.png": Verdict("twin", "good/4.png"),
    }

    def build() -> None:
        embedstore.build(tmp_path / "s", tmp_path / "images", teacher=CountingTeacher(), views=0)

    build()
    with embedstore.open(tmp_path / "s") as store:
        triage(store, verdicts)
        before = rows(store)
        write_pictures(tmp_path / "images", ["good/5.png", "crack/9.png"], seed=1)
        build()
        store.refresh()
        after = rows(store)
        assert after.pop("crack/9.png")["verdict"] is None
        assert after == before
        for seed in range(5):
            store.split(folds=3, seed=seed)
            split = rows(store)
            assert [one for one, row in split.items() if row["split"] == "aside"] == ["good/2.png"]
            assert {one: split[one] | {"split": before[one]["split"]} for one in before} == before


def test_a_manifest_that_says_something_new_is_heard(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.png", "b.png"])
    manifest = tmp_path / "m.csv"

    def build(label: str) -> None:
        manifest.write_text(f"path,label\na.png,{label}\nb.png,good\n", "utf-8")
        embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher=CountingTeacher(), views=0)

    build("good")
    with embedstore.open(tmp_path / "s") as store:
        triage(store, {"a.png": Verdict("wrong-label", "crack")})
        for label, expected in (("good", "crack"), ("pore", "pore")):
            build(label)
            store.refresh()
            assert (store.sample("a.png").label, store.field("verdict")) == (expected, ["wrong-label", None])


# What is refused


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        ("odd", None, "The verdict 'odd' is unknown; use one of rare, wrong-label, dirt, twin."),
        ("rare", "x", "The verdict 'rare' takes no value, but 'x' was given; leave it out."),
        (
            "wrong-label",
            None,
            "The verdict 'wrong-label' needs the new label, but none was given; add it as the value.",
        ),
        (
            "wrong-label",
            " \t",
            "The verdict 'wrong-label' needs the new label, but none was given; add it as the value.",
        ),
        ("twin", "", "The verdict 'twin' needs the id of the other, but none was given; add it as the value."),
    ],
)
def test_a_verdict_that_can_not_be_is_refused(kind: str, value: str | None, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Verdict(kind, value)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ({"nobody": RARE}, "no sample 'nobody'"),
        ({"a.png": RARE, "b.png": Verdict("twin", "nobody")}, "no sample 'nobody'"),
        ({"a.png": Verdict("twin", "a.png")}, "was called its own twin; give the id of the other"),
        ({"é": RARE, "e\u0301": DIRT}, "The id 'é' was given two verdicts"),
        ({"e\u0301": Verdict("twin", "é")}, "The sample 'é' was called its own twin"),
        ({"\ud800": RARE}, "An id is no text that can be stored"),
        (
            {"a.png": Verdict("wrong-label", "\ud800")},
            "A value of the verdict 'wrong-label' is no text that can be stored",
        ),
        ({"a.png": Verdict("twin", "\ud800")}, "A value of the verdict 'twin' is no text that can be stored"),
    ],
)
def test_what_can_not_be_said_leaves_the_store_as_it_was(
    tmp_path: Path, verdicts: dict[str, Verdict], sentence: str
) -> None:
    with make(tmp_path / "s", ids=[*IDS[:-1], "é"]) as store:
        before = snapshot(store)
        for attempt in (triage, plan_triage):
            with pytest.raises(EmbedstoreError, match=sentence):
                attempt(store, verdicts)
            store.refresh()
            assert snapshot(store) == before


def test_an_attribute_of_that_name_with_another_meaning_is_not_lost(store: EmbeddingStore) -> None:
    with store.write("relabel") as writing:
        writing.set("verdict", {"a.png": "NG"})
    with pytest.raises(
        StoreError, match=r"'a\.png' has an attribute 'verdict' with the text 'NG', which is no verdict"
    ):
        triage(store, {"b.png": RARE, "a.png": RARE})
    assert (store.version, store.sample("a.png").attributes) == (2, {"verdict": "NG"})
    triage(store, {"b.png": RARE})
    assert store.field("verdict")[:2] == ["NG", "rare"]


def test_ids_and_labels_may_hold_anything(tmp_path: Path) -> None:
    strange = ["<b>", "\x1b[31m", "部品 1", "e\u0301", "a\nb", "x" * 600, "'; drop", "\u202e", "a=b", ","]
    with make(tmp_path / "s", ids=[*strange[:3], "é", *strange[4:]], groups=[None] * 10) as store:
        verdicts = {one: Verdict("wrong-label", other) for one, other in zip(strange, strange[::-1], strict=True)}
        triage(store, verdicts)
        assert store.labels == ["é" if text == "e\u0301" else text for text in strange[::-1]]
        triage(store, {"e\u0301": Verdict("twin", "a=b")})
        assert {one.id for one in store.samples if one.group == "twins of a=b"} == {"é", "a=b"}


def test_a_store_opened_at_a_version_takes_no_verdict(store: EmbeddingStore) -> None:
    with embedstore.open(store.path, version=1) as pinned, pytest.raises(StoreError, match="which never changes"):
        triage(pinned, {"a.png": RARE})
