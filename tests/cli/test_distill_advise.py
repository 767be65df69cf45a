"""distill advise as people run it: the task file that it leaves, what it prints, how it is stopped, and what it refuses."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_commands import refused, save

import distill
import distill_cli.main
import embedstore
from distill import Settings
from distill.advice import advice, candidates, trials
from distill.training import trainer
from distill.training.task_file import read_task

FLAGS = ("--good", "good", "--ways", "none,own", "--train-minutes", "0.000001")  # one epoch, so trials have one, too


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sixty pictures of thirty parts."""
    place = tmp_path_factory.mktemp("line")
    rows = ["path,label,mode,group"]
    for number in range(60):
        defect = number // 2 % 2 == 1
        save(place / "images" / f"{number:02}.png", number, bright=defect)
        rows.append(f"{number:02}.png,{'defect,stripe' if defect else 'good,'},part {number // 2}")
    (place / "parts.csv").write_text("\n".join(rows), "utf-8")
    embedstore.build(place / "s", place / "images", manifest=place / "parts.csv", teacher="pixels", views=1)
    return place / "s"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Train in this process, on small pictures, for as little as one epoch on three folds; return the names of the runs."""
    names: list[str] = []

    def here(
        source: Path,
        out: Path,
        settings: Settings,
        *,
        images: Path | None,
        progress: Callable[[int, int], None],
        version: int | None = None,
        **_: Any,
    ) -> None:
        names.append(out.name)
        distill.train(
            source,
            out,
            settings,
            images=images,
            resume=True,
            progress=lambda done, total, _: progress(done, total),
            version=version,
        )

    monkeypatch.setattr(trainer, "train_apart", here)
    monkeypatch.setattr(trials, "FOLDS", (3,))
    monkeypatch.setattr(trials, "fast_enough", lambda paces, *_: (dict(paces), []))  # no training is that short
    small = tuple(replace(one, settings={**one.settings, "size": 32}) for one in candidates.CANDIDATES)
    monkeypatch.setattr(candidates, "CANDIDATES", small)
    return names


def advise(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Run the command in this process, with all that stands around it."""
    monkeypatch.setattr(sys, "argv", ["distill", "advise", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        distill_cli.main.main()
    if ended.value.code:
        raise ended.value


def test_it_writes_a_task_that_can_be_trained_and_prints_the_reasons(
    store: Path,
    trained: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "task.toml"
    advise(monkeypatch, store, *FLAGS, "--out", out)
    shown, complaints = capsys.readouterr()
    text = out.read_text("utf-8")
    settings = read_task(out, labels=["good", "defect"])
    assert (settings.good, settings.epochs, settings.views, settings.folds) == ("good", 1, 1, None)
    assert text.startswith(f"# Written by: distill advise {store} --good good --ways none,own")
    train_with = f"distill train {store} --task {out} --out RUN"
    assert f"\n# Train with: {train_with}\n" in text
    assert shown.splitlines()[-1].endswith(train_with)
    assert f"Wrote '{out}'" in shown
    assert "A class mean hides" in shown
    assert "A class mean hides" in text
    assert "Trials (epochs)" in complaints
    assert (tmp_path / "task.trials" / "plan.json").is_file()

    report = distill.train(store, tmp_path / "run", settings).report
    assert report.policy == settings.policy

    trained.clear()
    with pytest.raises(SystemExit) as ended:
        advise(monkeypatch, store, *FLAGS, "--out", out)
    assert ended.value.code == 2
    assert "exists; choose another name for the task file, or replace it with --force" in capsys.readouterr().err
    advise(monkeypatch, store, *FLAGS, "--out", out, "--force", "--language", "ja", "--json")
    told = json.loads(capsys.readouterr().out)
    assert trained == []  # the same trials
    assert told["settings"] == settings.to_dict()
    assert (told["path"], told["trials"]) == (str(out), str(tmp_path / "task.trials"))
    assert out.read_text("utf-8").startswith("# 作成: distill advise ")


def test_after_ctrl_c_the_same_command_goes_on(
    store: Path,
    trained: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = trainer.train_apart

    def stopped(source: Path, out: Path, *arguments: Any, **options: Any) -> None:
        if out.name == "own-fold1-seed0":
            raise KeyboardInterrupt
        real(source, out, *arguments, **options)

    arguments = (store, *FLAGS, "--out", tmp_path / "task.toml", "--trials", tmp_path / "kept")
    monkeypatch.setattr(trainer, "train_apart", stopped)
    with pytest.raises(SystemExit) as ended:
        advise(monkeypatch, *arguments)
    assert ended.value.code == 130
    assert "Stopped. Finished epochs are kept; the same command goes on from there" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]

    monkeypatch.setattr(trainer, "train_apart", real)
    before = list(trained)
    advise(monkeypatch, *arguments)
    assert not set(trained[len(before) :]) & set(before)
    assert trained[len(before)] == "own-fold1-seed0"
    assert read_task(tmp_path / "task.toml").good == "good"


def test_needs_go_to_the_library_as_they_are_given(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(BaseException):  # not an Exception, which the command would tell as a mistake of ours
        pass

    def asked(*arguments: Any, **options: Any) -> None:
        options.pop("progress")
        raise AskedError(arguments, options)

    monkeypatch.setattr(distill, "advise", asked, raising=False)
    monkeypatch.chdir(tmp_path)
    limits = ("--max-megabytes", "3", "--max-milliseconds", "8", "--minutes", "5", "--train-minutes", "9")
    monkeypatch.setattr(
        sys,
        "argv",
        ["distill", "advise", str(store), "--good", "\u304b\u3099", "--escape", "0", *limits, "--jobs", "2"],
    )
    with pytest.raises(AskedError) as told:
        distill_cli.main.main()
    needs = advice.Needs("が", 0.05, 0.0, 5.0, 9.0, 3.0, 8.0)
    assert told.value.args == ((store, Path("task.trials"), needs), {"images": None, "jobs": 2})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--overkill", "0.1", "--escape", "0"), "--overkill and --escape exclude each other"),
        (("--good", "good", "--escape", "0.2"), "only 0 can be asked for"),
        (("--minutes", "-1"), "The number of minutes for the trials is -1"),
        (("--out", "nowhere/task.toml"), "The directory 'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: tuple[str, ...], words: str, store: Path, tmp_path: Path
) -> None:
    assert words in refused("distill", "advise", store, *arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
