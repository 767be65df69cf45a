"""embedstore refresh and rollback, as a person and as cron give them: what they print, how they end, what they leave."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import noise_picture, python_environment, write_picture
from toy_commands import call, refused


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("line")
    for number in range(16):
        write_picture(
            place / "photos" / ("good" if number % 4 else "crack") / f"{number:02}.png", noise_picture(number)
        )
    call("embedstore", "build", "s", "photos", "--teacher", "pixels", "--views", "1", cwd=place)
    call("embedstore", "summarize", "s", "class-mean", cwd=place)
    return place


@pytest.fixture
def line(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "line")
    return tmp_path / "line"


def changed(line: Path) -> None:
    write_picture(line / "photos" / "crack" / "00.png", noise_picture(100))
    write_picture(line / "photos" / "good" / "new.png", noise_picture(101))


def test_plan_work_log_and_back(line: Path) -> None:
    changed(line)
    planned = call("embedstore", "refresh", "s", "--images", "photos", "--dry-run", cwd=line).stdout.splitlines()
    assert planned[0].startswith(
        "Plan from version 1: of 17 pictures 1 are new, 1 changed, 0 can't be used; 0 are gone"
    )
    assert "  label 'good': 12 samples, then 13" in planned
    assert any(
        text.startswith("  summary 'class-mean' (class-mean): update; 2 samples come, 1 leave, labels crack, good")
        for text in planned
    )
    assert any(text.startswith("Price on this machine: 2 pictures in 2 views each, ") for text in planned)
    assert planned[-1] == "Nothing was written."
    done = call("embedstore", "refresh", "s", "--images", "photos", cwd=line).stdout.splitlines()
    assert "went from version 1 to 3 in" in done[-1]
    assert "1 new, 1 changed, 0 updated, 0 removed, summary class-mean updated" in done[-1]
    log = call("embedstore", "log", "s", cwd=line).stdout
    assert "refresh pictures, step 1 of 2" in log
    assert "refresh summaries, step 2 of 2  1 summaries" in log
    names = json.loads(call("embedstore", "summaries", "s", "--json", cwd=line).stdout)["summaries"]
    assert [one["name"] for one in names] == ["class-mean", "class-mean@1"]
    trial = call("embedstore", "rollback", "s", "before-refresh-1", "--dry-run", cwd=line).stdout
    assert "1 rows come back, 2 that came since go" in trial
    back = call("embedstore", "rollback", "s", "before-refresh-1", cwd=line).stdout
    assert "The summary 'class-mean' is the one made of version 1 again." in back
    assert "embedstore rollback 's' 3" in back
    assert "rollback to 1" in call("embedstore", "log", "s", cwd=line).stdout
    facts = json.loads(call("embedstore", "rollback", "s", "3", "--json", cwd=line).stdout)
    assert (facts["version"], facts["target"], facts["back"], facts["gone"]) == (5, 3, 2, 1)
    assert "looks like version 3 already" in call("embedstore", "rollback", "s", "3", cwd=line).stdout
    call("embedstore", "verify", "s", cwd=line)


def test_from_cron_it_prints_one_line_and_its_exit_code_tells(line: Path, tmp_path: Path) -> None:
    written_by = call(
        "embedstore", "refresh", "s", "--images", "photos", "--write-config", "refresh.toml", cwd=line
    ).stdout
    # Such jobs start anywhere.
    assert all(
        part in written_by for part in (str(line.resolve() / "s"), str(line.resolve() / "refresh.toml"), "--quiet")
    )
    command = ("embedstore", "refresh", line / "s", "--config", line / "refresh.toml", "--quiet")
    nothing = call(*command, cwd=tmp_path)
    assert (nothing.stdout, nothing.stderr) == (f"'{line / 's'}' is fresh at version 1: nothing to do.\n", "")
    changed(line)
    done = call(*command, cwd=tmp_path)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    (line / "photos" / "good" / "broken.png").write_bytes(b"no picture")
    broken = call(*command, cwd=tmp_path, code=1)
    assert "nothing to do; 1 picture can't be used, see: embedstore info" in broken.stdout
    assert "good/broken.png" in call("embedstore", "info", "s", "--json", cwd=line).stdout
    shutil.rmtree(line / "photos")
    assert "The image folder" in refused(*command, cwd=tmp_path)
    assert "did you mean 'limit'" in refused("embedstore", "refresh", "s", "--config", written(line), cwd=line)


def test_a_store_of_a_manifest_gets_no_config_without_it(line: Path) -> None:
    pictures = sorted(file.relative_to(line / "photos").as_posix() for file in (line / "photos").rglob("*.png"))
    (line / "m.csv").write_text("path,label\n" + "".join(f"{one},defect\n" for one in pictures), "utf-8")
    call("embedstore", "build", "s", "photos", "--manifest", "m.csv", cwd=line)
    told = "Error: A manifest said that the label of 'crack/00.png' is 'defect', and its folder's name is 'crack'"
    said = f"{told}; give a manifest that names all pictures"
    command = ("embedstore", "refresh", "s", "--images", "photos", "--keep", "7")
    written_by = (*command, "--write-config", "refresh.toml")
    assert refused(*written_by, cwd=line) == f"{said}, and name it beside the other options: --manifest FILE"
    assert not (line / "refresh.toml").exists()
    assert refused(*command, cwd=line) == f"{said}: embedstore refresh 's' --manifest FILE"
    call(*written_by, "--manifest", "m.csv", cwd=line)
    config = ("embedstore", "refresh", "s", "--config", "refresh.toml", "--quiet")
    assert call(*config, cwd=line).stdout.startswith("'s' went from version 2 to 3 in ")
    text = (line / "refresh.toml").read_text("utf-8")
    (line / "refresh.toml").write_text(re.sub("(?m)^manifest = .*", "", text), "utf-8")
    assert refused(*config, cwd=line) == f"{said}, and name it in 'refresh.toml' by the line: manifest = \"FILE\""


def test_two_steps_have_two_bars(line: Path) -> None:
    changed(line)
    bars = call("embedstore", "refresh", "s", "--images", "photos", cwd=line).stderr
    assert re.search(r"Looking at pictures .* 17/17 pictures", bars)
    assert re.search(r"Embedding .* 17/17 pictures", bars)


def written(line: Path) -> Path:
    (line / "bad.toml").write_text("limits = 0.1\n", "utf-8")
    return line / "bad.toml"


def test_where_only_a_person_said_something_it_is_told_and_not_called_nothing(line: Path) -> None:
    call("embedstore", "summarize", "s", "rare-samples", "--share", "0.1", cwd=line)
    call("embedstore", "triage", "s", "--rare", "good/01.png", "--rare", "good/02.png", cwd=line)
    planned = call("embedstore", "refresh", "s", "--images", "photos", "--dry-run", cwd=line).stdout
    assert (
        "summary 'rare-samples' (rare-samples): update; 0 samples come, 0 leave, labels good; not timed yet." in planned
    )
    assert (
        "Price on this machine: nothing to embed; 0.0 s from here on, and 2 summaries that were never timed." in planned
    )
    done = call("embedstore", "refresh", "s", "--images", "photos", "--quiet", cwd=line).stdout
    assert "went from version 2 to 3 in" in done
    assert "summary rare-samples updated" in done


def test_what_a_person_should_look_at_is_told_in_the_one_line_too(line: Path) -> None:
    (line / "groups.csv").write_text(
        "path,group\n"
        + "".join(
            f"{file.relative_to(line / 'photos').as_posix()},part {number // 2}\n"
            for number, file in enumerate(sorted((line / "photos").rglob("*.png")))
        ),
        "utf-8",
    )
    call("embedstore", "build", "s", "photos", "--manifest", "groups.csv", cwd=line)
    call("embedstore", "split", "s", "--folds", "3", cwd=line)
    (line / "photos" / "good" / "01.png").rename(line / "photos" / "crack" / "01.png")
    write_picture(line / "photos" / "good" / "new.png", noise_picture(102))
    planned = call("embedstore", "refresh", "s", "--dry-run", cwd=line).stdout
    done = call("embedstore", "refresh", "s", "--quiet", cwd=line).stdout
    assert done.count("\n") == 1
    for sentence in (
        "1 new sample has no side of the split, so summaries of one do not see them (--side gives one)",
        "1 new sample has no group, so a part that the store has already may come to two sides of the split",
        "1 picture is under another name now and no more under the old one; label, part, side and verdict go along, but 1 moved "
        "to another label",
    ):
        assert f"  {sentence}" in planned
        assert f"; {sentence}" in done


def test_a_rollback_says_which_teacher_and_how_many_views_are_in_use_again(line: Path) -> None:
    before = call("embedstore", "rollback", "s", "0", "--dry-run", cwd=line).stdout
    assert "The teacher 'pixels' would be in use again, with 1 view a picture." in before
    assert "The store has no tag '²'" in refused("embedstore", "rollback", "s", "²", cwd=line)
    assert "The store has no version -1" in refused("embedstore", "rollback", "s", "--", "-1", cwd=line)


def test_as_json(line: Path) -> None:
    changed(line)
    facts = json.loads(call("embedstore", "refresh", "s", "--images", "photos", "--json", cwd=line).stdout)
    assert (facts["before"], facts["version"], facts["tag"], facts["nothing_to_do"]) == (
        1,
        3,
        "before-refresh-1",
        False,
    )
    assert (facts["plan"]["new"], facts["plan"]["changed"]) == (["good/new.png"], ["crack/00.png"])
    assert facts["pictures"]["embedded"] == 4
    assert facts["summaries"]["class-mean"]["updated"] == ["crack", "good"]
    was, now = facts["summaries"]["class-mean"]["losses"]["good"]
    assert was != now


def test_a_second_one_at_once_is_told_to_come_again(line: Path) -> None:
    code = "import sys, time\nfrom pathlib import Path\nfrom embedstore.store.writing import writer\n"
    code += "with writer(Path(sys.argv[1])):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(line / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=python_environment(),
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        told = call("embedstore", "refresh", "s", "--images", "photos", "--quiet", cwd=line, code=75)
        assert f"Another process (id {other.pid}) is writing" in told.stderr
        assert os.path.exists(line / "s" / "CURRENT")
        other.communicate("")
