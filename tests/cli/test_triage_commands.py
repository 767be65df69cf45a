"""embedstore triage, undo and log: what they print, what they leave, what they refuse."""

import io
import sys
from pathlib import Path

import pytest
from test_change_commands import HOSTILE, Line, line  # noqa: F401  (a fixture)
from toy_commands import call

import embedstore
from embedstore.triage import Verdict, triage


@pytest.fixture
def at(line: Line) -> Line:  # noqa: F811
    return line


def verdicts(line: Line) -> dict[str, str]:  # noqa: F811
    return {
        name: sample.attributes["verdict"]
        for name, sample in line.seen()["samples"].items()
        if "verdict" in sample.attributes
    }


# triage


def test_triage_takes_many_as_one_version_and_says_what_it_did(at: Line) -> None:
    before = at.seen()
    arguments = (
        *("triage", "s", "--rare", "good/0.png", "--rare", f"good/{HOSTILE}.png", "--dirt", "good/1.png"),
        *("--label", "good/2.png=pore", "--twin", "crack/0.png=crack/1.png"),
    )
    told = "5 verdicts (2 rare, 1 dirt, 1 wrong-label, 1 twin): the verdict of 5, the label of 1, the split of 1, the group of 2"
    assert at.say(*arguments, "--dry-run") == (
        f"{told} (6 samples in all) would change; nothing was written. New labels, which no sample had before: pore."
    )
    assert at.seen() == before
    said = at.say(*arguments)
    assert said == (
        f"{told} (6 samples in all) changed. New labels, which no sample had before: pore. 's' is at version 2; to take it back: "
        "embedstore undo 's' 2"
    )
    after = at.seen()["samples"]
    assert verdicts(at) == {
        "good/0.png": "rare",
        f"good/{HOSTILE}.png": "rare",
        "good/1.png": "dirt",
        "good/2.png": "wrong-label",
        "crack/0.png": "twin",
    }
    assert (after["good/1.png"].split, after["good/2.png"].label) == ("aside", "pore")
    assert after["crack/0.png"].group == after["crack/1.png"].group == "twins of crack/0.png"
    assert at.say("triage", "s", "--rare", "good/0.png") == (
        "1 verdict (1 rare): all of it was so already, so nothing changed."
    )
    assert at.seen()["version"] == 2


def test_triage_reads_a_file_and_passes_rows_without_a_verdict_over(at: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["good/0.png,rare,", "good/1.png,,", "good/2.png, wrong-label , pore ", 'crack/0.png,twin,"crack/1.png"']
    review = at.write("r.csv", "path,verdict,value", *rows)
    said = at.say("triage", "s", "--from", review, "--dirt", "good/3.png")
    assert "4 verdicts (1 dirt, 1 rare, 1 wrong-label, 1 twin)" in said
    assert "1 row of 'r.csv' without a verdict passed over." in said
    assert at.labels()["good/2.png"] == "pore"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"id,verdict\ngood/1.png,rare\n")))
    facts = at.json("triage", "s", "--from", "-")
    assert facts == {
        "version": 3,
        "verdicts": {"rare": 1},
        "changed": 1,
        "fields": {"verdict": {"good/1.png": [None, "rare"]}},
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["id,value", "good/0.png,x"], "'r.csv' has no column 'verdict' in its first row"),
        (["id,verdict", "good/0.png,odd"], "The verdict 'odd' is unknown; use one of rare, wrong-label, dirt, twin."),
        (["id,verdict", "good/0.png,wrong-label"], "The verdict 'wrong-label' needs the new label"),
        (["id,verdict,value", "good/0.png,rare,x"], "The verdict 'rare' takes no value, but 'x' was given"),
        (
            ["id,verdict", "good/0.png,rare", "good/0.png,dirt"],
            "'good/0.png' is given both 'rare' and 'dirt'; leave one",
        ),
        (
            ["id,verdict,value", "good/0.png,wrong-label,x", "good/0.png,wrong-label,y"],
            "'good/0.png' is given both 'wrong-label' ('x') and 'wrong-label' ('y'); leave one",
        ),
        (
            ["id,verdict,value", "good/1.png,rare,", "good/0.png, ,pore"],
            "'r.csv' gives 'good/0.png' the value 'pore' without a verdict; add it, or empty both.",
        ),
        (["id,verdict", "good/0.png,"], "No verdicts were given; give --rare, --dirt, --label or --twin with ids"),
        (["id,verdict,verdict", "good/0.png,rare,rare"], "has the column 'verdict' more than once"),
        (["id,verdict", "good/0.png,rare", "nobody.png,rare"], "has no sample 'nobody.png'"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_in_one_sentence(at: Line, rows: list[str], sentence: str) -> None:
    assert sentence in at.refused("triage", "s", "--from", at.write("r.csv", *rows))


def test_ids_are_taken_as_they_stand_and_labels_without_outer_blanks(at: Line) -> None:
    with embedstore.open(at.place / "s") as store, store.write() as writing:
        writing.add(["d", "d ", "é"], store.vectors()[:3][None].repeat(2, axis=0), groups=["D", "D ", None])
    at.run("triage", "s", "--from", at.write("r.csv", "id,verdict,value", 'good/0.png,twin,"d "', "d,wrong-label, x "))
    after = at.seen()["samples"]
    assert (after["good/0.png"].group, after["d"].label) == ("D ", "x")
    assert at.say("triage", "s", "--rare", "é", "--rare", "e\u0301").startswith("1 verdict (1 rare): ")
    assert at.json("log", "s")[0]["details"] == {"rare": 1}


def test_ids_and_labels_may_hold_equal_signs(at: Line) -> None:
    with embedstore.open(at.place / "s") as store, store.write() as writing:
        writing.add(["a=b", "a", "a=b=c", "="], store.vectors()[:4][None].repeat(2, axis=0))
    at.run("triage", "s", "--label", "==y", "--label", "good/0.png=x=z", "--twin", "a=b=good/1.png")
    assert (at.labels()["="], at.labels()["good/0.png"]) == ("y", "x=z")
    after = at.seen()["samples"]
    assert after["a=b"].group == after["good/1.png"].group == "twins of a=b"
    assert after["a"].group is None
    said = at.refused("triage", "s", "--label", "a=b=c")
    assert "--label 'a=b=c' can be read in 2 ways, for ids hold '=' too; give it in a file, with --from." in said


def test_triage_refuses_what_it_can_not_take(at: Line) -> None:
    assert "No verdicts were given" in at.refused("triage", "s")
    assert "--label 'good/0.png' has no '='; give the id, then =" in at.refused("triage", "s", "--label", "good/0.png")
    assert "needs the new label" in at.refused("triage", "s", "--label", "good/0.png= ")
    assert "has no sample 'x'" in at.refused("triage", "s", "--label", "x=y=z")
    assert "called its own twin" in at.refused("triage", "s", "--twin", "good/0.png=good/0.png")
    said = at.refused("triage", "s", "--rare", f"{HOSTILE}.png")
    assert "has no sample '[bold]部品[red] <b>\\x1b[31m.png'" in said


def test_what_changed_since_is_told(at: Line) -> None:
    at.run("relabel", "s", "good/0.png", "crack")
    said = at.refused("triage", "s", "--since", "1", "--rare", "good/1.png", "--dirt", "good/0.png")
    assert (
        "The sample 'good/0.png' has the label 'crack' now, by version 2 (relabel), and you looked at version 1" in said
    )
    at.run("triage", "s", "--since", "1", "--rare", "good/1.png")
    at.run("triage", "s", "--since", "2", "--dirt", "good/0.png")
    assert verdicts(at) == {"good/0.png": "dirt", "good/1.png": "rare"}


def test_versions_are_given_by_their_tags_too(at: Line) -> None:
    at.run("tag", "s", "looked-at")
    at.run("relabel", "s", "good/0.png", "crack")
    said = at.refused("triage", "s", "--since", "looked-at", "--dirt", "good/0.png")
    assert "has the label 'crack' now, by version 2 (relabel), and you looked at version 1" in said
    at.run("tag", "s", "relabelled")
    assert at.say("tag", "s", "same", "--version", "relabelled").startswith("Version 2 has the tag 'same'")
    assert at.say("undo", "s", "same").startswith("Version 2 (relabel: ")
    assert at.labels()["good/0.png"] == "good"
    for command in (
        ["undo", "s", "none"],
        ["tag", "s", "new", "--version", "none"],
        ["triage", "s", "--since", "none"],
    ):
        assert "The store has no tag 'none' (it has: " in at.refused(*command)


def test_a_group_that_a_split_tears_is_told(at: Line) -> None:
    at.run("relabel", "s", "good/0.png", "train", "--field", "split")
    at.run("relabel", "s", "good/1.png", "test", "--field", "split")
    said = at.say("triage", "s", "--twin", "good/0.png=good/1.png")
    assert "The group 'twins of good/0.png' is on several sides of the split now" in said
    assert "several sides" not in at.say("triage", "s", "--twin", "good/2.png=good/3.png")


def test_an_undo_that_brings_back_an_old_side_tells_where_that_tears_a_group(at: Line) -> None:
    ids = ("good/0.png", "good/1.png")
    at.run("relabel", "s", *ids, "one part", "--field", "group")
    at.run("relabel", "s", *ids, "train", "--field", "split")
    assert "several sides" not in at.say("triage", "s", "--dirt", ids[0])
    at.run("relabel", "s", ids[1], "test", "--field", "split")
    assert "several sides" not in at.say("triage", "s", "--rare", ids[0])  # for it goes where the other is
    assert "several sides" not in at.say("undo", "s")
    assert at.say("undo", "s", "4", "--dry-run").endswith("would change; nothing was written.")
    assert "The group 'one part' is on several sides of the split now" in at.say("undo", "s", "4")


def test_a_compaction_by_itself_leaves_what_takes_the_change_back(at: Line) -> None:
    count = 1100
    with embedstore.open(at.place / "s") as store:
        with store.write() as writing:
            writing.add(
                [f"{number}" for number in range(count)], store.vectors()[:1][None].repeat(2, 0).repeat(count, 1)
            )
        store.tag("kept")
        with store.write("delete") as writing:
            writing.delete([f"{number}" for number in range(count)])
        store.delete_tag("kept")
    said = at.say("triage", "s", "--rare", "good/0.png")
    assert "The store was compacted by itself" in said
    assert "to take it back: embedstore undo 's' 4" in said  # the version before the change stays
    assert "removed by a compaction" in at.refused("undo", "s", "3")


# undo and log


def test_undo_is_refused_where_what_was_meant_may_be_a_deletion(at: Line) -> None:
    at.run("relabel", "s", "good/0.png", "pore")
    at.run("delete", "s", "good/2.png")
    at.run("delete", "s", "good/1.png")
    before = at.seen()
    said = at.refused("undo", "s")
    assert "Version 4 (delete) is newer than version 2, the last that can be undone" in said  # the newest, no other
    assert "To take that back: embedstore rollback 's' 3; to undo version 2 all the same: embedstore undo 's' 2" in said
    assert at.seen() == before
    at.run("undo", "s", "2")
    assert at.seen()["samples"] != before["samples"]


def test_undo_goes_back_step_by_step_and_the_log_tells(at: Line) -> None:
    before = at.seen()["samples"]
    at.run("relabel", "s", "good/0.png", "pore")
    between = at.seen()["samples"]
    at.run("triage", "s", "--rare", "good/0.png", "--dirt", "good/1.png")
    said = at.say("undo", "s", "--dry-run")
    assert said.startswith("Version 3 (triage: 1 rare, 1 dirt; 2")
    assert said.endswith("the verdict of 2, the split of 1 (2 samples in all) would change; nothing was written.")
    assert at.seen()["version"] == 3
    assert "to take that back: embedstore undo 's' 4" in at.say("undo", "s")
    assert at.seen()["samples"] == between
    assert at.json("undo", "s") == {
        "undone": 2,
        "version": 5,
        "changed": 1,
        "fields": {"label": {"good/0.png": ["pore", "good"]}},
        "dry_run": False,
    }
    assert at.seen()["samples"] == before
    assert "No version of 's' is left to be undone; see what made each" in at.refused("undo", "s")
    said = at.say("log", "s")
    for words in ("3 2", "triage 1 rare, 1 dirt", "undo of 3 2 updated", "undo of 2 1 updated"):
        assert words in said
    assert at.json("log", "s")[0]["details"] == {"undone": 2, "updated": 1}
    at.run("undo", "s", "4")
    assert verdicts(at) == {"good/0.png": "rare", "good/1.png": "dirt"}


def test_undo_refuses_what_would_lose_something(at: Line) -> None:
    assert "Version 1 (build) added or removed samples" in at.refused("undo", "s", "1")
    assert "has no version 5 to undo; it has 1 to 1" in at.refused("undo", "s", "5")
    at.run("triage", "s", "--label", "good/0.png=pore")
    at.run("relabel", "s", "good/0.png", HOSTILE)
    said = at.refused("undo", "s", "2")
    assert (
        "the label of 'good/0.png' was changed again, to '[bold]部品[red] <b>\\x1b[31m', by version 3 (relabel)" in said
    )


# Beyond: as installed, and what follows


def test_the_installed_commands_change_the_next_summary(at: Line) -> None:
    def kept(name: str) -> tuple[set[str], list[str]]:
        call(
            "embedstore", "summarize", "s", "rare-samples", "--share", "0.01", "--k", "1", "--name", name, cwd=at.place
        )
        with embedstore.open(at.place / "s") as store:
            summary = store.summary(name)
        return {summary.seen[one] for one in summary.source if one >= 0}, summary.seen

    before, seen = kept("before")
    chosen = sorted({f"good/{number}.png" for number in range(4)} - before)[:2]
    call("embedstore", "triage", "s", "--rare", chosen[0], "--rare", chosen[1], "--dirt", "crack/0.png", cwd=at.place)
    after, seen_after = kept("after")
    assert set(chosen) <= after
    assert set(seen) - set(seen_after) == {"crack/0.png"}
    call("embedstore", "undo", "s", cwd=at.place)
    assert kept("again") == (before, seen)


def test_inspect_shows_verdicts_where_there_are_some(at: Line) -> None:
    assert "verdict" not in at.say("inspect", "s")
    with embedstore.open(at.place / "s") as store:
        triage(store, {"good/0.png": Verdict("rare")})
    said = at.run("inspect", "s").out
    (row,) = [one for one in said.splitlines() if "good/0.png" in one.split()]
    assert "rare" in row.split()
    listed = {odd["id"]: odd["verdict"] for of in at.json("inspect", "s")["labels"] for odd in of["odd"]}
    assert {name for name, verdict in listed.items() if verdict} == {"good/0.png"}
    assert listed["good/0.png"] == "rare"
    at.run("inspect", "s", "--html", "odd.html")
    page = Path("odd.html").read_text("utf-8")
    assert page.count("rare and real") == page.count("まれだが実在するもの") == 1
