"""`embedstore suggest` as installed: what it prints, that its commands do what they say, what it refuses."""

import csv
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from toy_commands import call, refused

import embedstore
from embedstore.errors import MissingPackageError
from embedstore_cli.run_scores import held_out_scores

sys.path.append(str(Path(__file__).parents[1] / "analysis" / "suggestions"))
import planted_parts as planted

HOSTILE = "[red]a=b \x1b[2J\u202e"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted store `s` with class means, the same with hostile ids and labels in `-h`, and a run that needs no picture."""
    place = tmp_path_factory.mktemp("line")
    with planted.make(place / "s") as store:
        store.summarize("class-mean", name="means", split="train")
        write_run(place / "run", store.fingerprint)
    spelt = {
        name: [HOSTILE + value if value else value for value in values]
        for name, values in (("ids", planted.IDS), ("labels", planted.LABELS))
    }
    planted.make(place / "-h", **spelt).close()
    return place


def write_run(path: Path, fingerprint: str) -> None:
    """Write what a finished run keeps of what its student said."""
    path.mkdir()
    run = {"settings": {}, "store": {"path": "s", "fingerprint": fingerprint}, "classes": ["crack", "good"]}
    (path / "run.json").write_text(json.dumps(run), "utf-8")
    said = planted.student()
    with (path / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "label", "mode", "group", "p(crack)", "p(good)"])
        for sample_id, row in zip(said.ids, said.probabilities.tolist(), strict=True):
            writer.writerow([sample_id, "test", "", "", "", *map(repr, row)])


def test_a_table_a_kind_with_reasons_and_commands(line: Path) -> None:
    out = call("embedstore", "suggest", "s", "--against", "means", "--run", "run", "--top", "3", cwd=line).stdout
    titles = [
        "wrong-labels: labels that are likely wrong (3)",
        "torn-twins: twins on two sides of the split (2)",
        "hidden-modes: modes without a prototype (1)",
        "student: samples that teacher and student see differently (3)",
    ]
    places = [out.index(title) for title in titles]
    assert places == sorted(places)
    twin, twin_of = planted.IDS[planted.TWIN], planted.IDS[planted.TWIN_OF]
    lines = out.splitlines()  # a command is a line, to be copied
    assert f"embedstore triage s --twin '{twin}={twin_of}' --since 1" in lines
    (labels,) = [one for one in lines if one.startswith("embedstore triage s --label")]
    assert f"--label '{planted.IDS[planted.of(7)[1]]}=good'" in labels
    assert (labels.count("--label"), labels.count("--since 1")) == (3, 1)
    assert lines.count("To say so, without what you do not agree with:") == 3
    assert (
        sum(one.startswith("To say that a label is right: embedstore triage STORE --label ID=LABEL") for one in lines)
        == 1
    )
    assert "'part 31', so" not in out
    assert "both have the group 'part 31'" in out
    assert "The student did not learn from it." in out
    assert "That is no count of wrong labels" in out


def test_only_the_kinds_that_were_asked_and_what_is_lacking(line: Path) -> None:
    out = call("embedstore", "suggest", "s", "--kind", "student", "--kind", "torn-twins", cwd=line).stdout
    assert out.startswith("student: nothing was found.")
    assert "name a finished run with: --run RUN" in out
    assert "wrong-labels" not in out


def test_json_tells_everything_and_its_commands_do_what_they_say(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "s", tmp_path / "s")
    arguments = ("embedstore", "suggest", "s", "--kind", "wrong-labels", "--top", "4", "--json")
    facts = json.loads(call(*arguments, cwd=tmp_path).stdout)
    listed = facts["kinds"]["wrong-labels"]["suggestions"]
    assert {one["ids"][0] for one in listed} == planted.WRONG_IDS
    assert {*listed[0]} == {"ids", "score", "reason", "verdicts", "command"}
    assert listed[0]["verdicts"] == {listed[0]["ids"][0]: {"kind": "wrong-label", "value": "good"}}
    remark = facts["kinds"]["wrong-labels"]["remarks"][0]
    assert remark["ja"].endswith("今のラベルのままと判定すると、次から表示されません。")
    assert "embedstore triage" not in remark["en"] + remark["ja"]  # the page has a button for it
    for one in listed:
        call(*shlex.split(one["command"]), cwd=tmp_path)
    with embedstore.open(tmp_path / "s") as store:
        assert {store.sample(name).label for name in planted.WRONG_IDS} == {"good"}
        assert facts["version"] == 1 == store.version - len(listed)
    again = json.loads(call(*arguments, cwd=tmp_path).stdout)["kinds"]["wrong-labels"]["suggestions"]
    assert not planted.WRONG_IDS & {one["ids"][0] for one in again}


def test_its_commands_overwrite_nothing_that_was_said_meanwhile(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "s", tmp_path / "s")
    arguments = ("embedstore", "suggest", "s", "--kind", "wrong-labels", "--version", "1", "--json")
    (first, *_) = json.loads(call(*arguments, cwd=tmp_path).stdout)["kinds"]["wrong-labels"]["suggestions"]
    call("embedstore", "triage", "s", "--label", f"{first['ids'][0]}=dent", cwd=tmp_path)
    (again, *_) = json.loads(call(*arguments, cwd=tmp_path).stdout)["kinds"]["wrong-labels"]["suggestions"]
    assert again == first
    assert "version 1" in refused(*shlex.split(again["command"]), cwd=tmp_path)
    with embedstore.open(tmp_path / "s") as store:
        assert store.sample(first["ids"][0]).label == "dent"


def test_one_command_says_all_of_a_kind_where_single_ones_refuse_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = planted.VECTORS.copy()
    first, second = planted.of(5)
    vectors[second] = vectors[planted.TWIN_OF] + 0.002  # both pictures of a part are twins of one picture now
    monkeypatch.setattr(planted, "VECTORS", vectors)
    for name in ("s", "told"):
        planted.make(tmp_path / name).close()
    arguments = ("embedstore", "suggest", "s", "--kind", "torn-twins")
    said = json.loads(call(*arguments, "--json", cwd=tmp_path).stdout)["kinds"]["torn-twins"]
    assert len([one for one in said["suggestions"] if one["command"]]) == 2
    assert said["command"] in call(*arguments, cwd=tmp_path).stdout.splitlines()
    call(*shlex.split(said["command"]), cwd=tmp_path)
    with embedstore.open(tmp_path / "s") as store:
        assert store.version == 2
        assert len({store.sample(planted.IDS[at]).group for at in (first, second, planted.TWIN_OF)}) == 1
    again = json.loads(call(*arguments, "--json", cwd=tmp_path).stdout)["kinds"]["torn-twins"]
    assert again["command"] is None
    # Where something was said of both, the verdict is that of the third, which takes one.
    rare = [word for at in (first, second) for word in ("--rare", planted.IDS[at])]
    call("embedstore", "triage", "told", *rare, cwd=tmp_path)
    lines = call("embedstore", "suggest", "told", "--kind", "torn-twins", cwd=tmp_path).stdout.splitlines()
    assert "embedstore suggest again: the command has another verdict of it" in "".join(lines)
    (line,) = [one for one in lines if one.startswith("embedstore triage told")]
    call(*shlex.split(line), cwd=tmp_path)


def test_kinds_that_tell_of_the_same_pictures_are_not_to_be_said_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = planted.VECTORS.copy()
    vectors[planted.of(20)[0]] = vectors[planted.of(13)[0]] + 0.001  # a picture with a wrong label has a twin now
    monkeypatch.setattr(planted, "VECTORS", vectors)
    planted.make(tmp_path / "s").close()
    out = call("embedstore", "suggest", "s", cwd=tmp_path).stdout
    assert out.count("give embedstore suggest again before this one.") == 1


def test_what_no_command_can_say_is_told(tmp_path: Path) -> None:
    wrong = planted.of(7)[1]
    for name, ids, labels in (
        ("newline", {wrong: "a\nb"}, planted.LABELS),
        (
            "equals",
            {wrong: "a=x", planted.of(8)[0]: "a"},
            ["x=good" if one == "good" else one for one in planted.LABELS],
        ),
    ):
        planted.make(
            tmp_path / name, ids=[ids.get(at, one) for at, one in enumerate(planted.IDS)], labels=labels
        ).close()
    out = call("embedstore", "suggest", "newline", "--kind", "wrong-labels", cwd=tmp_path).stdout.splitlines()
    assert r"  for 'a\nb' use --json: its command holds letters that can't be shown" in out
    assert not [text for text in out if text.startswith("embedstore triage") and "a" + "\\n" in text]
    out = call("embedstore", "suggest", "equals", "--kind", "wrong-labels", cwd=tmp_path).stdout.splitlines()
    assert "  for 'a=x' in a file, with --from, since ids hold '=': see the verdicts in --json" in out
    facts = json.loads(
        call("embedstore", "suggest", "newline", "--kind", "wrong-labels", "--json", cwd=tmp_path).stdout
    )
    (one,) = [one for one in facts["kinds"]["wrong-labels"]["suggestions"] if one["ids"] == ["a\nb"]]
    call(*shlex.split(one["command"]), cwd=tmp_path)
    with embedstore.open(tmp_path / "newline") as store:
        assert store.sample("a\nb").label == "good"


def test_a_run_is_not_read_without_torch(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "distill.training.run_directory", raising=False)
    with embedstore.open(line / "s") as store, pytest.raises(MissingPackageError, match="Reading a run needs PyTorch"):
        held_out_scores(line / "run", store)


def test_hostile_names_command_neither_the_terminal_nor_the_shell(line: Path, tmp_path: Path) -> None:
    out = call("embedstore", "suggest", "./-h", "--kind", "wrong-labels", cwd=line).stdout
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"[red]a=b \x1b[2J\u202epart 07/011.png" in out
    shutil.copytree(line / "-h", tmp_path / "-h")
    arguments = ("embedstore", "suggest", "--kind", "wrong-labels", "--top", "1", "--json", "--", "-h")
    facts = json.loads(call(*arguments, cwd=tmp_path).stdout)
    (one,) = facts["kinds"]["wrong-labels"]["suggestions"]
    call(*shlex.split(one["command"]), cwd=tmp_path)
    with embedstore.open(tmp_path / "-h") as store:
        assert store.sample(one["ids"][0]).label == HOSTILE + "good"


def test_mistakes_are_one_sentence(line: Path) -> None:
    write_run(line / "foreign", "another")
    for arguments, sentence in (
        (("--kind", "twins"), "'twins' is unknown; use one of wrong-labels, torn-twins, hidden-modes, student."),
        (("--top", "0"), "is 0; ask for 1 or more"),
        (("--against", "none"), "has no summary 'none'"),
        (("--run", "gone"), "'gone' does not exist"),
        (("--run", "foreign"), "learned from another teacher than the one of the store 's'"),
    ):
        assert sentence in refused("embedstore", "suggest", "s", *arguments, cwd=line)
