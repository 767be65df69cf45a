"""embedstore migrate: what it prints, its exit codes, and what info, summaries and log tell of two teachers."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import CountingTeacher, write_pictures

import embedstore
from embedstore.store.versions import REFRESH_TAG
from embedstore.store.writing import writer
from embedstore.teachers import TEACHERS
from embedstore_cli.main import main

NAMES = [f"{label}/{number}.png" for label in ("good", "crack") for number in range(5)]
Command = Callable[..., str]


@pytest.fixture
def embedstore_(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what gives a command in a folder with a store `s` of the teacher `one`; `two` can be loaded, too."""
    monkeypatch.setitem(TEACHERS, "one", lambda argument, outputs: CountingTeacher("one", "one"))
    monkeypatch.setitem(TEACHERS, "two", lambda argument, outputs: CountingTeacher("two", "two"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build("s", "images", teacher="one", views=1)

    def run(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["embedstore", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return out if code != 2 else err

    return run


def test_there_and_back_and_gone(embedstore_: Command) -> None:
    out = embedstore_("migrate", "s", "--teacher", "two")
    assert "'two' embedded 20 views" in out
    assert "10 of 10 samples have all of its vectors" in out
    assert "changed over from 'one' to 'two' with version 2" in out
    assert "migrate to two" in embedstore_("log", "s")
    assert "also        one: complete, not in use" in embedstore_("info", "s")
    assert "'s' has 'two' in use, at version 2" in embedstore_("migrate", "s", "--teacher", "two")
    assert "changed over from 'two' to 'one' with version 3" in embedstore_("migrate", "s", "--back")
    assert "has the vectors of its teacher only" in embedstore_("migrate", "s", "--drop-old")
    assert "nothing to drop" in embedstore_("migrate", "s", "--drop-old", code=2)


def test_tags_of_refreshes_that_go_are_told(embedstore_: Command) -> None:
    with writer(Path("s")) as session:
        session.write(lambda tables: tables.put_tag(f"{REFRESH_TAG}1", 1))
    embedstore_("migrate", "s", "--teacher", "two")
    assert (
        "What was refreshed by the old teacher can't be rolled back any more; the tags for it are gone: 'before-refresh-1'"
        in " ".join(embedstore_("migrate", "s", "--drop-old").split())
    )


def test_json_holds_the_report(embedstore_: Command) -> None:
    report = json.loads(embedstore_("migrate", "s", "--teacher", "two", "--no-switch", "--json"))
    assert (report["switched"], report["active"], report["complete"], report["embedded"]) == (False, False, 10, 20)
    others = json.loads(embedstore_("info", "s", "--json"))["other_teachers"]
    assert [(one["teacher"], one["plain"], one["complete"]) for one in others] == [("two", 10, 10)]


def test_missing_pictures_are_listed_and_the_exit_code_says_so(embedstore_: Command) -> None:
    Path("images/good/1.png").unlink()
    out = embedstore_("migrate", "s", "--teacher", "two", code=1)
    assert "good/1.png: its file is gone" in out
    assert "stays with 'one'" in out
    assert "--without-missing" in out
    out = embedstore_("migrate", "s", "--teacher", "two", "--without-missing")
    assert "without 1 sample; go back with: embedstore rollback 's' 1" in out
    assert "1 rows come back" in embedstore_("rollback", "s", "1")


def test_a_map_is_told_with_its_error_here_and_later(embedstore_: Command) -> None:
    with embedstore.open("s") as store:
        store.summarize("class-mean", name="means")
    out = embedstore_("migrate", "s", "--teacher", "two", "--sample", "8", "--map", "orthogonal")
    assert "(orthogonal) from 'one' was fitted to 8 samples of 8 parts" in out
    found = json.loads(
        embedstore_("migrate", "s", "--teacher", "two", "--sample", "8", "--map", "orthogonal", "--json")
    )["map"]
    assert f"{found['cosine']:.3f} in the mean, {found['cosine_p5']:.3f} at the 5th percentile" in out
    assert "'means' is there as 'means.orthogonal-8'" in out
    assert "stays with 'one'" in out
    told_by_summaries = embedstore_("summaries", "s")
    for told in (told_by_summaries, embedstore_("info", "s")):
        assert "is an estimate: mapped (orthogonal) from the vectors of 'one' by 8 samples" in told
    assert "'means.orthogonal-8' is for the teacher 'two', which is not in use" in told_by_summaries
    facts = json.loads(embedstore_("summaries", "s", "--json"))["summaries"]
    assert [one["estimate"] and one["estimate"]["samples"] for one in facts] == [None, 8]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "neither was given"),
        (("--back",), "one teacher only"),
        (("--teacher", "two", "--drop-old"), "stands alone"),
        (("--without-missing", "--drop-old"), "stands alone"),
        (("--teacher", "two", "--map", "linear", "--sample", "3"), "5 parts or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(embedstore_: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in embedstore_("migrate", "s", *arguments, code=2)
