"""The task file of an advice: what `distill train` reads from it, and its reasons, whatever the names are."""

from dataclasses import replace
from pathlib import Path

import pytest
from toy_advice import LOOKS, advice_of, runs

from distill.advice.looks import HiddenMode
from distill.advice.needs import Needs
from distill.advice.task import refuse_place, table, task_text, write_advice
from distill.advice.words import share, verdict
from distill.training.task_file import read_task
from embedstore.errors import SettingsError

COMMANDS = {"written_by": "distill advise s --good good", "train_with": "distill train s --task t --out RUN"}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_file_reads_as_the_settings_that_are_advised(language: str, tmp_path: Path) -> None:
    advice = advice_of(runs(own=0.4))
    write_advice(tmp_path / "task.toml", task_text(advice, **COMMANDS, language=language), replace=False)
    assert read_task(tmp_path / "task.toml", labels=["good", "defect"]) == advice.settings
    assert advice.settings.policy == "own"
    assert advice.settings.weight == 5.0


def test_the_reasons_stand_at_the_top_in_lines_that_an_editor_shows() -> None:
    advice = advice_of(runs(own=0.4))
    text = task_text(advice, **COMMANDS)
    lines = text.splitlines()
    assert lines[0] == "# Written by: distill advise s --good good"
    assert lines[1] == "# Train with: distill train s --task t --out RUN"
    heading = lines[: lines.index("")]
    assert all(line.startswith("#") and len(line) <= 114 and line == line.rstrip() for line in heading)
    assert not any(line.removeprefix("#").lstrip().startswith("%") for line in heading)
    said = " ".join(line.removeprefix("#").strip() for line in heading)
    assert verdict(advice).en in said
    for title in ("The advice", "What was tried", "What the store shows", "What the trials can't tell"):
        assert f"# {title}" in heading


def test_names_from_the_store_stay_comments(tmp_path: Path) -> None:
    hostile = HiddenMode('x\npolicy = "none"\n\u202e[loss]\r', "defect", 10, 9)
    advice = advice_of(runs(own=0.4), looks=replace(LOOKS, hidden=[hostile]))
    for language in ("en", "ja"):
        path = tmp_path / f"{language}.toml"
        write_advice(path, task_text(advice, **COMMANDS, language=language), replace=False)
        assert read_task(path) == advice.settings
        assert "\u202e" not in path.read_text("utf-8")


def test_the_table_has_a_line_for_each_way_and_marks_the_advised_one() -> None:
    advice = advice_of(runs(own=0.4))
    head, *rows = table(advice)
    assert head.split()[0] == "way"
    assert [row.lstrip("> ").split()[0] for row in rows] == ["none", "class-mean", "own"]
    assert [row.startswith("> ") for row in rows] == [False, False, True]
    own = advice.decision.figures_of("own")
    assert f"{100 * (own.recall or 0):.0f} %" in rows[2]
    assert rows[2].split()[-3:] == ["1.1", "4.2", "1.0"]  # half a second an epoch on 40 pictures, and 80 to train on
    without_good = table(advice_of(runs(own=0.4), Needs()))
    assert "overkill" not in without_good[0]


def test_the_table_has_what_ways_are_judged_by_where_that_is_not_the_figure_itself() -> None:
    advice = advice_of(runs(own=0.4))
    assert "as counted" not in table(advice)[0]
    standings = [replace(one, judged=(one.judged or 0) - at / 10) for at, one in enumerate(advice.decision.standings)]
    head, *rows = table(replace(advice, decision=replace(advice.decision, standings=standings)))
    at = head.index("as counted")
    assert [row[at : at + 10].split("  ")[0] for row in rows] == [share(one.judged) for one in standings]
    assert head[at:].split("  ")[1] == "recall"
    assert [row[:at].split()[-2:] for row in rows] == [row[:at].split()[-2:] for row in table(advice)[1:]]


def test_columns_stand_below_each_other_in_japanese_too() -> None:
    head, *rows = table(advice_of(runs(own=0.4)), "ja")
    wide = sum(2 if ord(letter) > 0x2FFF else 1 for letter in head[: head.index("95 % 区間")])
    assert all(row[wide - 2 : wide] == "  " and row[wide] != " " for row in rows)


def test_a_file_that_is_there_is_replaced_only_where_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    write_advice(path, "first\n", replace=False)
    with pytest.raises(
        SettingsError, match="exists; choose another name for the task file, or replace it with --force"
    ):
        write_advice(path, "second\n", replace=False)
    assert path.read_text("utf-8") == "first\n"
    write_advice(path, "second\n", replace=True)
    assert path.read_text("utf-8") == "second\n"
    assert [one.name for one in tmp_path.iterdir()] == ["task.toml"]


def test_a_place_that_can_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist; make it first"):
        refuse_place(tmp_path / "nowhere" / "task.toml", replace=False)
    with pytest.raises(SettingsError, match="is a directory; choose another name"):
        refuse_place(tmp_path, replace=True)
    with pytest.raises(OSError, match="name too long"):
        refuse_place(tmp_path / ("x" * 245 + ".toml"), replace=False)
