"""embedstore add, delete, relabel, log, tag, compact: what they print, what they leave, what they refuse.

All but one run in this process, for a new one costs more than all that they do.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers import CountingTeacher, snapshot, write_picture, write_pictures
from toy_commands import SCRIPTS, call

import embedstore
from embedstore.store import compaction
from embedstore.store.index_file import INDEX, MARKER
from embedstore_cli.main import main

HOSTILE = "[bold]部品[red] <b>\x1b[31m"
NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(4)] + [f"good/{HOSTILE}.png"]
HOLD = """
import sys
from pathlib import Path
from embedstore.store.writing import locked
with locked(Path("s")):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Printed(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Line:
    """A folder with pictures and a store, and a way to give commands there."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
        self.place, self._capsys, self._monkeypatch = place, capsys, monkeypatch

    def run(self, *arguments: object, code: int = 0) -> Printed:
        """Give a command; fail with all it printed where it ends by another code."""
        self._monkeypatch.setattr(sys, "argv", ["embedstore", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return Printed(code, out, err)

    def say(self, *arguments: object) -> str:
        """Give a command, and return what it printed, in one line."""
        return " ".join(self.run(*arguments).out.split())

    def json(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments, "--json").out)

    def refused(self, *arguments: object) -> str:
        """Give a command that must be refused: nothing on stdout, one sentence on stderr, and the store as it was."""
        before = self.seen()
        printed = self.run(*arguments, code=2)
        assert printed.out == ""
        lines = [line for line in printed.err.splitlines() if line.strip() and "━" not in line]
        assert len(lines) == 1, printed.err
        assert lines[0].startswith("Error: ")
        assert self.seen() == before
        return lines[0]

    def seen(self, version: int | str | None = None) -> dict[str, Any]:
        with embedstore.open(self.place / "s", version) as store:
            return snapshot(store)

    def labels(self) -> dict[str, str | None]:
        return {name: sample.label for name, sample in self.seen()["samples"].items()}

    def write(self, name: str, *rows: str) -> str:
        (self.place / name).write_text("\n".join(rows) + "\n", "utf-8")
        return name


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "200", "NO_COLOR": "1", "TZ": "Asia/Tokyo"}.items():
        monkeypatch.setenv(name, value)
    time.tzset()
    write_pictures(tmp_path / "photos", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "photos", teacher="pixels", views=1)
    yield Line(tmp_path, capsys, monkeypatch)
    monkeypatch.undo()
    time.tzset()


# what only tells


def test_a_dry_run_only_reads_so_it_works_while_another_process_writes(line: Line) -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, cwd=line.place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            line.run("delete", "s", "good/0.png", code=75)
            assert line.say("delete", "s", "good/0.png", "good/0.png", "--dry-run") == (
                "1 of 9 samples would be deleted; nothing was changed."
            )
            assert line.json("relabel", "s", "good/0.png", "crack/0.png", "crack", "--dry-run")["changed"] == 1
            assert line.json("relabel", "s", "good/0.png", "7", "--field", "line", "--dry-run")["changed"] == 1
            assert line.say("info", "s").startswith("s: 9 samples at version 1")
        finally:
            process.communicate("\n")


def test_a_dry_run_refuses_what_the_change_does(line: Line) -> None:
    for given in (
        ("delete", "s", "good/9.png"),
        ("relabel", "s", "good/9.png", "crack"),
        ("relabel", "s", "good/0.png", "tain", "--field", "split"),
    ):
        assert line.refused(*given, "--dry-run") == line.refused(*given)


def test_what_build_would_prune_is_told_by_a_dry_run_of_refresh(line: Line) -> None:
    told_of = "embedstore refresh STORE --prune --dry-run --json"
    assert told_of in " ".join(line.say("build", "--help").replace("│", " ").split())
    (line.place / "photos" / "good" / "0.png").unlink()
    (line.place / "photos" / "crack" / "2.png").unlink()
    before = line.seen()
    plan = line.json(*told_of.replace("STORE", "s").split()[1:-1])["plan"]
    assert line.seen() == before
    line.run("build", "s", "photos", "--prune")
    assert sorted(plan["gone"]) == sorted(set(NAMES) - set(line.labels())) == ["crack/2.png", "good/0.png"]


# add


def test_add_takes_what_is_named_and_says_what_it_did(line: Line) -> None:
    write_pictures(line.place / "photos", ["scratch/1.png", "scratch/2.png", "good/7.png"], seed=1)
    (line.place / "photos" / "scratch" / "torn.png").write_bytes(b"torn")
    (line.place / "photos" / "scratch" / "note.txt").write_text("x")
    said = line.say("add", "s", "photos/scratch", "photos/good/0.png")
    assert "2 samples were added, 0 have another picture, 0 other labels or fields; 's' holds 11 at version 2." in said
    assert "The teacher 'pixels' embedded 4 views" in said
    assert "1 picture was set aside, which can't be used; see why: embedstore info 's'" in said
    assert "1 file was passed over: no picture, by the ending." in said
    for options in ((), ("--json",)):
        call("embedstore", "add", "s", "photos/scratch/torn.png", *options, cwd=line.place, code=1)
    call("embedstore", "add", "s", "photos/good/0.png", cwd=line.place)  # is there already
    report = line.json("add", "s", "photos/good/7.png", "--label", "pore")
    assert (report["new"], report["version"], line.labels()["good/7.png"]) == (1, 3, "pore")


def test_add_reads_a_manifest(line: Line) -> None:
    write_pictures(line.place / "photos", ["a.png", "b.png"], seed=1)
    manifest = line.write("m.csv", "path,label,split", "a.png,crack,val", "b.png,good,")
    assert line.json("add", "s", "--manifest", manifest)["new"] == 2
    sample = line.seen()["samples"]["a.png"]
    assert (sample.label, sample.split) == ("crack", "val")


@pytest.mark.parametrize("command", [("add", "s", "photos/good"), ("build", "s", "photos")])
def test_a_verdict_that_goes_with_other_bytes_is_told_and_comes_back(line: Line, command: tuple[str, ...]) -> None:
    line.run("triage", "s", "--rare", "good/0.png")
    line.run("relabel", "s", "good/0.png", "fine", "--field", "mode")
    picture = line.place / "photos" / "good" / "0.png"
    picture.write_bytes(picture.read_bytes() + b"\0")  # the same pixels
    said = line.say(*command)
    assert (
        "1 picture has other bytes, being taken again or written anew (such as 'good/0.png'; --json names all)" in said
    )
    assert (
        "1 picture that has other bytes has what a person said of the old one (such as 'good/0.png': mode; --json names all)"
    ) in said
    assert "To take that back: embedstore rollback 's' 3" in said
    assert "1 verdicts dropped" in line.say("log", "s")
    assert "verdict" not in line.seen()["samples"]["good/0.png"].attributes
    line.run("rollback", "s", "3")
    assert line.seen()["samples"]["good/0.png"].attributes["verdict"] == "rare"
    assert line.json(*command)["verdicts_dropped"] == ["good/0.png"]


@pytest.mark.parametrize("command", [("add", "s", "photos/good"), ("build", "s", "photos"), ("refresh", "s")])
def test_a_side_that_is_lost_is_told_and_is_not_called_a_new_sample(line: Line, command: tuple[str, ...]) -> None:
    line.run("split", "s", "--folds", "3")
    line.run("triage", "s", "--dirt", "good/0.png")
    line.run("compact", "s")
    write_pictures(line.place / "photos", ["good/0.png"], seed=9)
    said = line.say(*command)
    assert (
        "1 picture that was dirt may have been on the test side (such as 'good/0.png'; --json names all), for nothing tells any "
        "more which side the old one had; give it one by hand: embedstore relabel 's' ID SIDE --field split"
    ) in said
    assert "--side gives one" not in said


def test_add_refuses_what_it_can_not_take(line: Line) -> None:
    write_picture(line.place / "elsewhere" / f"{HOSTILE}.png")
    said = line.refused("add", "s", f"elsewhere/{HOSTILE}.png")
    assert f"is not in the store's image folder; copy it to '{line.place / 'photos'}', into the subfolder" in said
    assert "\x1b" not in said
    assert "'photos/nowhere' does not exist" in line.refused("add", "s", "photos/nowhere")
    assert "No pictures were named" in line.refused("add", "s")
    assert "give one or the other" in line.refused("add", "s", "photos/good", "--label", "x", "--manifest", "m.csv")


# delete


def test_delete_takes_many_as_one_version_and_says_what_is_left(line: Line) -> None:
    before = line.seen()
    assert line.say("delete", "s", "good/0.png", "good/1.png", "--dry-run") == (
        "2 of 9 samples would be deleted; nothing was changed."
    )
    assert line.seen() == before
    said = line.say("delete", "s", "good/0.png", "good/1.png", "good/0.png")
    assert "2 samples were deleted; 's' holds 7 at version 2." in said
    assert "To take that back: embedstore rollback 's' 1" in said
    assert "a build from a folder that still holds them adds them again. The split 'aside' keeps samples out" in said
    assert sorted(line.labels()) == sorted(NAMES[2:])
    assert line.seen(1) == before
    assert (line.place / "photos" / "good" / "0.png").exists()
    embedstore.build("s", "photos")
    assert sorted(line.labels()) == sorted(NAMES)


def test_delete_reads_ids_from_a_file_and_from_other_commands(line: Line) -> None:
    file = line.write("ids.csv", "\ufefflabel, id ", f'good,"{NAMES[-1]}"', "", "crack,crack/1.png")
    assert (
        line.json("delete", "s", "--from", line.write("paths.csv", "path", "good/0.png"), "--dry-run")["deleted"] == 1
    )
    assert line.json("delete", "s", "good/3.png", "--from", file) == {
        "deleted": 3, "samples": 6, "version": 2, "dry_run": False,
    }  # fmt: skip
    assert line.seen()["samples"].keys() == set(NAMES) - {NAMES[-1], "good/3.png", "crack/1.png"}


def test_commands_take_ids_from_a_pipe(line: Line) -> None:
    def pipe(text: str, *arguments: str) -> str:
        done = subprocess.run(
            [SCRIPTS / "embedstore", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=line.place,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    pipe("id\ngood/2.png\n", "delete", "s", "--from", "-")
    pipe("id\ngood/3.png\n", "relabel", "s", "--from", "-", "crack")
    assert "good/2.png" not in line.labels()
    assert line.labels()["good/3.png"] == "crack"
    assert "3  " in call("embedstore", "log", "s", cwd=line.place).stdout


def test_delete_refuses_unknown_ids_and_changes_nothing(line: Line) -> None:
    said = line.refused("delete", "s", "good/0.png", "god/1.png", "nothing", "[red]\x1b")
    assert "3 of the 4 ids are not in the store 's', first 'god/1.png'; did you mean 'good/1.png'?" in said
    assert "has no sample '[red]\\x1b'; an id is the path" in line.refused("delete", "s", "[red]\x1b", "--dry-run")
    assert "No samples were named; give their ids, or --from" in line.refused("delete", "s")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["name,label", "good/0.png,x"], "'f.csv' has no column 'id' in its first row (its columns: name, label)"),
        (["id"], "'f.csv' has no rows below its header"),
        ([], "'f.csv' has no column 'id' in its first row (its columns: none)"),
        (["id,id", "a,b"], "has the column 'id' more than once"),
        (["id,label", "good/0.png"], "Line 2 of 'f.csv' has 1 cells, but the header has 2"),
        (['id', '"good/0.png'], "'f.csv' is no CSV file"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_ids_is_told(line: Line, rows: list[str], message: str) -> None:
    assert message in line.refused("delete", "s", "--from", line.write("f.csv", *rows).strip())


def test_a_file_that_can_not_be_read_is_told(line: Line) -> None:
    (line.place / "latin.csv").write_bytes("id\ngöod\n".encode("latin-1"))
    assert "'latin.csv' is not UTF-8 (byte 4); save it as 'CSV UTF-8', which Excel offers." in line.refused(
        "delete", "s", "--from", "latin.csv"
    )
    assert "'none.csv' can't be read: No such file" in line.refused("delete", "s", "--from", "none.csv")


# relabel


def test_relabel_gives_many_one_label(line: Line) -> None:
    before = line.seen()
    assert line.say("relabel", "s", "good/0.png", "crack/0.png", "crack", "--dry-run") == (
        "1 sample would get the label 'crack'; 1 other had it already. Nothing was changed."
    )
    assert line.seen() == before
    assert line.say("relabel", "s", "good/0.png", "crack/0.png", " crack ") == (
        "1 sample got the label 'crack'; 1 other had it already. 's' is at version 2; to take it back: embedstore undo 's' 2"
    )
    assert line.labels() == {name: name.split("/")[0] for name in NAMES} | {"good/0.png": "crack"}
    embedstore.build("s", "photos")
    assert line.labels()["good/0.png"] == "crack"
    assert line.json("relabel", "s", "good/0.png", "crack") == {
        "changed": 0, "asked": 1, "field": "label", "version": 2, "dry_run": False,
    }  # fmt: skip
    assert line.say("relabel", "s", "good/0.png", "crack") == (
        "0 samples got the label 'crack'; 1 other had it already. 's' is at version 2."
    )
    shown = "[bold]部品[red] <b>\\x1b[31m"
    assert line.say("relabel", "s", NAMES[-1], HOSTILE) == (
        f"1 sample got the label '{shown}'. New labels, which no sample had before: {shown}. 's' is at version 3; to take it "
        "back: embedstore undo 's' 3"
    )


def test_an_empty_label_is_refused_and_none_takes_it_away(line: Line) -> None:
    for empty in ("", "  "):
        assert "No label was given, or an empty one; give it last, or take it away with --none." in line.refused(
            "relabel", "s", "good/0.png", empty
        )
    said = line.say("relabel", "s", "good/0.png", "good/1.png", "--none", "--dry-run")
    assert said == "2 samples would have no label. Nothing was changed."
    assert line.say("relabel", "s", "good/0.png", "good/1.png", "--none") == (
        "2 samples have no label any more. 's' is at version 2; to take it back: embedstore undo 's' 2"
    )
    assert [name for name, label in line.labels().items() if label is None] == ["good/0.png", "good/1.png"]
    assert line.say("relabel", "s", "good/2.png", "--none").startswith("1 sample has no label any more.")


def test_a_new_label_is_told_and_the_command_that_takes_it_back(line: Line) -> None:
    before = line.labels()
    said = line.say("relabel", "s", "good/0.png", "goood", "--dry-run")
    assert said == (
        "1 sample would get the label 'goood'. Nothing was changed. New labels, which no sample had before: goood."
    )
    said = line.say("relabel", "s", "good/0.png", "goood")
    assert "New labels, which no sample had before: goood." in said
    assert "New labels" not in line.say("relabel", "s", "good/1.png", "wide", "--field", "mode")
    line.run(*shlex.split(said.partition("embedstore ")[2]))
    assert line.labels() == before


def test_relabel_reads_labels_from_a_file(line: Line) -> None:
    file = line.write("f.csv", "id,label,split", "good/0.png, crack ,val", f'"{NAMES[-1]}","a,b",', "good/1.png,good,")
    assert line.say("relabel", "s", "--from", file) == (
        "2 samples got another label; 1 other had it already. New labels, which no sample had before: a,b. 's' is at version "
        "2; to take it back: embedstore undo 's' 2"
    )
    assert line.labels()["good/0.png"] == "crack"
    assert line.labels()[NAMES[-1]] == "a,b"
    assert "2 of the 3 rows have an empty split; fill them in, leave the rows out, or give --none" in line.refused(
        "relabel", "s", "--from", file, "--field", "split"
    )
    line.run("relabel", "s", "good/1.png", "train", "--field", "split")
    assert line.json("relabel", "s", "--from", file, "--field", "split", "--none")["changed"] == 2
    with embedstore.open("s") as store:
        assert store.counts("split") == {None: 8, "val": 1}
        assert store.sample("good/0.png").split == "val"
    line.run("relabel", "s", "--from", line.write("ids.csv", "id", "good/0.png", "good/1.png"), "pore")
    assert [line.labels()[name] for name in NAMES[:3]] == ["pore", "pore", "good"]
    line.run("relabel", "s", "--from", "ids.csv", "--none")
    assert [line.labels()[name] for name in NAMES[:3]] == [None, None, "good"]


def test_relabel_sets_any_field(line: Line) -> None:
    said = line.say("relabel", "s", "good/0.png", "7", "--field", "Linie")
    assert said == (
        "1 sample got the Linie '7'. 'Linie' is a new attribute, which no sample had before. 's' is at version 2; to take it "
        "back: embedstore undo 's' 2"
    )
    assert "new attribute" not in line.say("relabel", "s", "good/1.png", "8", "--field", "Linie")
    line.run("relabel", "s", "good/0.png", "part 1", "--field", "group")
    sample = line.seen()["samples"]["good/0.png"]
    assert (sample.group, dict(sample.attributes)) == ("part 1", {"Linie": "7"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good/0.png"], "No samples were named; give their ids and then the label, or --from FILE.csv."),
        ([], "No samples were named; give their ids"),
        (["good/0.png", "good/1.png"], "'good/1.png' is a sample's id, and no label; give the label after the ids."),
        (["good/0.png", "good/x.png", "crack"], "no sample 'good/x.png'"),
        (["good/0.png", "soon", "--field", "split"], "There is no split 'soon'; use one of train, val, test, aside."),
        (["good/0.png", "x", "--field", "id"], "The field 'id' can't be changed"),
        (["good/0.png", "x", "--field", " "], "The field '' can't be changed"),
        (
            ["--from", "f.csv", "crack"],
            "'crack' is one too many beside what 'f.csv' and the options say; leave it out.",
        ),
        (["--from", "ids.csv", "x", "y"], "'x' is one too many"),
        (["--from", "ids.csv"], "No label was given, or an empty one"),
        (["--from", "ids.csv", "crack", "--none"], "'crack' is one too many"),
        (["--from", "twice.csv"], "The id 'good/0.png' is given both 'a' and 'b'; leave one of them."),
    ],
)
def test_relabel_refuses_what_is_not_clear(line: Line, arguments: list[str], message: str) -> None:
    line.write("f.csv", "id,label", "good/0.png,crack")
    line.write("ids.csv", "id", "good/0.png")
    line.write("twice.csv", "id,label", "good/0.png,a", "good/1.png,x", "good/0.png,b")
    assert message in line.refused("relabel", "s", *arguments)


# log, tag, compact, info


def test_log_lists_the_versions_newest_first_in_local_time(line: Line) -> None:
    line.run("relabel", "s", "good/0.png", "crack")
    line.run("tag", "s", "部品 [red]")
    line.run("delete", "s", "good/1.png", "good/2.png")
    lines = line.run("log", "s").out.splitlines()
    cells = [[cell.strip() for cell in one.split("  ") if cell.strip()] for one in lines[2:]]
    log = line.json("log", "s")
    assert [[one[0], *one[2:]] for one in cells] == [
        ["3", "delete", "2 removed", "yes"],
        ["2", "relabel", "1 updated", "部品 [red]", "yes"],
        ["1", "build", "9 new", "yes"],
        ["0", "create", "yes"],
    ]
    assert [(one["number"], one["action"], one["details"], one["tags"], one["readable"]) for one in log] == [
        (3, "delete", {"removed": 2}, [], True),
        (2, "relabel", {"updated": 1}, ["部品 [red]"], True),
        (1, "build", {"new": 9}, [], True),
        (0, "create", {}, [], True),
    ]
    hour = (int(log[0]["time"][11:13]) + 9) % 24  # the log is in UTC, the clock on the wall in Tokyo
    assert cells[0][1][11:13] == f"{hour:02d}"
    assert cells[0][1][13:] == log[0]["time"][13:19]


def test_tags_are_made_listed_used_and_deleted(line: Line) -> None:
    assert line.say("tag", "s") == "'s' has no tags yet; name its newest version with: embedstore tag 's' NAME"
    line.run("delete", "s", "good/0.png")
    assert line.say("tag", "s", "all", "--version", 1) == "Version 1 has the tag 'all': no compaction removes it."
    assert line.say("tag", "s", "now") == "Version 2 has the tag 'now': no compaction removes it."
    assert line.json("tag", "s") == {"all": 1, "now": 2}
    listed = line.run("tag", "s").out.splitlines()
    assert [one.split()[:2] for one in listed[2:]] == [["all", "1"], ["now", "2"]]
    assert line.json("info", "s", "--version", "all")["samples"] == 9
    assert line.json("info", "s", "--version", 1)["samples"] == 9
    assert line.json("info", "s")["samples"] == 8
    assert line.say("tag", "s", "all", "--delete") == (
        "Version 1 has no longer the tag 'all'; the next compaction may remove that version."
    )
    assert line.json("tag", "s") == {"now": 2}
    for arguments, message in {
        ("now",): "The tag 'now' names version 2 already; delete it first",
        ("7",): "can't be a tag",
        ("before-refresh-2026",): "refreshes give names like this to versions and take them away again; choose another",
        ("x", "--version", "9"): "has no version 9; it has 0 to 2",
        ("x", "--delete"): "has no tag 'x' (it has: now)",
        ("--delete",): "--delete takes the name of one tag and no version",
        ("now", "--delete", "--version", "2"): "--delete takes the name of one tag and no version",
        ("--version", "1"): "Version '1' was to get a tag without a name",
    }.items():
        assert message in line.refused("tag", "s", *arguments)
    assert "has no tag 'none' (it has: now)" in line.refused("info", "s", "--version", "none")
    assert "has no version -1" in line.refused("info", "s", "--version=-1")


def test_compact_tells_what_it_took_and_which_versions_stay(line: Line) -> None:
    line.run("summarize", "s", "class-mean", "--name", "means")
    line.run("delete", "s", *NAMES[:2])
    line.run("tag", "s", "before")
    line.run("relabel", "s", NAMES[2], "crack")
    line.run("relabel", "s", NAMES[2], "pore")
    line.run("tag", "s", "first", "--version", 1)
    before = {version: line.seen(version) for version in (1, 2, 4)}
    said = line.say("compact", "s")
    assert "'s' has 9 rows in " in said
    assert " MB, before it was 9 in " in said
    assert "can be opened: 1 (tag 'first'), 2 (tag 'before'), 4 (newest); 2 others can't any more." in said
    assert {version: line.seen(version) for version in (1, 2, 4)} == before
    line.run("tag", "s", "first", "--delete")
    line.run("tag", "s", "before", "--delete")
    assert "can be opened: 1 (a summary was made of it), 4 (newest)" in line.say("compact", "s")
    line.run("summaries", "s", "--delete", "means")
    report = line.json("compact", "s")
    assert (report["kept"], report["removed"], report["rows_before"], report["rows"]) == ([4], 4, 9, 7)
    log = line.run("log", "s").out
    assert [one.split()[-1] for one in log.splitlines()[2:7]] == ["yes", "no", "no", "no", "no"]
    assert "It keeps the newest version, those with a tag, and those that saved summaries were made of." in log
    assert "Version 1 was removed by a compaction" in line.refused("info", "s", "--version", "1")


def test_a_compaction_that_came_by_itself_is_told(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_SMALLEST", 5)
    with embedstore.open("s") as store:
        marker = store.generation / INDEX / MARKER
    marker.parent.mkdir()
    marker.write_text("damaged")
    assert "compacted by itself" not in line.say(
        "delete", "s", *NAMES[:6]
    )  # the way back is kept until the next change
    said = line.say("delete", "s", NAMES[6])
    assert "The index, which knew the old rows, went with that; make it again with: embedstore index 's'" in said
    assert "The store was compacted by itself, since more than half of what it kept was of no use" in said
    assert "To take that back: embedstore rollback 's' 2" in said
    assert len(line.labels()) == 2
    line.run("rollback", "s", "2")
    assert len(line.labels()) == 3


def test_all_say_what_is_wrong_with_a_store(line: Line, tmp_path: Path) -> None:
    os.mkdir("empty")
    for verb in (["add", "empty", "photos"], ["delete", "empty", "x"], ["relabel", "empty", "x", "y"], ["log", "empty"],
                 ["tag", "empty", "x"], ["compact", "empty"], ["info", "empty", "--version", "1"]):  # fmt: skip
        assert "'empty' is not a store; make one with: embedstore build" in line.refused(*verb)
    with embedstore.create("declared", teacher="model", dim=2) as store:
        store.compact()
    assert "were imported as those of the teacher 'model'" in line.refused("add", "declared", "photos")


def test_another_teacher_of_the_same_name_is_refused(line: Line) -> None:
    embedstore.build("other", "photos", teacher=CountingTeacher(name="pixels"))
    write_pictures(line.place / "photos", ["good/8.png"], seed=1)
    assert "was filled by the teacher 'pixels'" in line.refused("add", "other", "photos/good/8.png")
