"""What all commands share: closed and full outputs, odd arguments, Ctrl-C, conditions, and the version that is read."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_commands import SCRIPTS

import distill
import distill_cli.main
import embedstore
from embedstore.errors import SettingsError
from embedstore.store.health import verification
from embedstore.store.writing import writer
from embedstore_cli import console
from embedstore_cli.conditions import conditions
from embedstore_cli.main import main


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "s"
    with embedstore.create(path, teacher="enc", dim=2) as made:
        with made.write() as writer:
            writer.add(["a:smile:", "b"], np.eye(2, dtype=np.float32), attributes={"light": ["1", None]})
        made.tag("first")
        with made.write() as writer:
            writer.add(["c"], np.ones((1, 2), np.float32), labels=["crack"])
    return path


def given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Give a command in this process; return its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["embedstore", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize("error", [RuntimeError("broken inside"), EOFError("ends too early"), OSError("no reason")])
@pytest.mark.parametrize("verb", ["drift", "verify", "info"])
def test_a_crash_is_no_answer(verb: str, error: Exception, store: Path, monkeypatch: Any, capsys: Any) -> None:
    def crash(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(embedstore, "open", crash)
    monkeypatch.setattr(verification, "verify", crash)
    code, out, err = given(monkeypatch, capsys, verb, store, *(["batch"] if verb == "drift" else []))
    assert (code, out) == (2, "")  # not 1, which says drift, or damage
    assert f"{type(error).__name__}: {error}" in err
    assert "in crash\n" in err


def test_a_crash_of_the_gate_is_no_answer(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside of the gate")

    monkeypatch.setattr(distill, "gate", crash)
    monkeypatch.setattr(sys, "argv", ["distill", "gate", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        distill_cli.main.main()
    assert ended.value.code == 2
    assert "ZeroDivisionError: inside of the gate" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("tag", "second"), ("delete", "b"), ("rollback", "1"), ("compact",)])
def test_a_store_that_another_writes_to_is_tried_again_later(
    words: tuple[str, ...], store: Path, monkeypatch: Any, capsys: Any
) -> None:
    with writer(store):
        code, out, err = given(monkeypatch, capsys, words[0], store, *words[1:])
    assert (code, out) == (75, "")
    assert "Error: This process (id " in err


def test_each_step_has_its_bar_and_its_unit(monkeypatch: Any) -> None:
    seen: list[tuple[str, ...]] = []

    @contextmanager
    def shown(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        seen.append((what, unit))
        yield lambda done, total: None
        seen.append((what, "ends"))

    monkeypatch.setattr(console, "progress", shown)
    with console.Steps() as steps:
        steps.progress("Embedding", 1, 9)
        steps.progress("Embedding", 9, 9)
        steps.progress("Comparing", 0, 5, unit="folds")
        steps.close()
        steps.progress("Loading", 0, 1)
    assert seen == [
        ("Embedding", "samples"),
        ("Embedding", "ends"),
        ("Comparing", "folds"),
        ("Comparing", "ends"),
        ("Loading", ""),
        ("Loading", "ends"),
    ]


def test_only_the_report_is_on_stdout_whatever_is_printed_and_fails_meanwhile(capsys: Any) -> None:
    for failure in (None, KeyboardInterrupt):
        with contextlib.suppress(KeyboardInterrupt), console.only_the_report_on_stdout():
            sys.stdout.write("Ray lost a node\n")
            if failure is not None:
                raise failure
        console.print_json({"samples": 3})
        said = capsys.readouterr()
        assert (json.loads(said.out), said.err) == ({"samples": 3}, "Ray lost a node\n")


@pytest.mark.parametrize(("done", "told"), [(8, "Training"), (9, "Now patches")])
def test_a_bar_says_what_follows_when_all_is_done(done: int, told: str, capsys: Any) -> None:
    class StoppedError(Exception):
        pass

    def stopped() -> None:
        with console.progress("Training", "epochs", then="Now patches") as progress:
            progress(done, 9)
            raise StoppedError

    with pytest.raises(StoppedError):
        stopped()
    assert f"{told} ━" in capsys.readouterr().err
    with console.progress("Training", "epochs", then="Now patches") as progress:
        progress(done, 9)
    assert "Training ━" in capsys.readouterr().err  # and nothing follows any more


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_closed_and_full_outputs_end_in_no_traceback(store: Path) -> None:
    shell = f"'{SCRIPTS / 'embedstore'}' info '{store}' --json"
    closed = subprocess.run(["/bin/sh", "-c", f"{shell} >&-"], capture_output=True, text=True, check=False)
    assert (closed.returncode, closed.stderr) == (0, "")
    full = subprocess.run(["/bin/sh", "-c", f"{shell} >/dev/full"], capture_output=True, text=True, check=False)
    assert full.returncode == 2
    assert full.stderr.startswith("Error: The system refused to read or write (")
    assert len(full.stderr.splitlines()) == 1


def test_bytes_that_are_no_text_are_the_id_of_no_sample(store: Path, monkeypatch: Any, capsys: Any) -> None:
    code, out, err = given(monkeypatch, capsys, "query", store, "--id", "a\udcff")
    assert (code, out) == (2, "")
    assert r"has no sample 'a\udcff'; an id is the path below the image folder" in err


def test_bytes_that_are_no_text_are_refused(store: Path, monkeypatch: Any, capsys: Any) -> None:
    code, out, err = given(monkeypatch, capsys, "tag", store, "a\udcff")
    assert (code, out) == (2, "")
    assert r"a\udcff" in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_of_a_long_text_that_can_not_be_written_only_the_place_is_quoted(monkeypatch: Any, capsys: Any) -> None:
    def write(*_: object, **__: object) -> None:
        ("row\n" * 5000 + "bad\udcff.png" + "row\n" * 5000).encode()

    monkeypatch.setattr(embedstore, "open", write)
    code, out, err = given(monkeypatch, capsys, "info", "s")
    assert (code, out) == (2, "")
    assert re.match(
        r"Error: The text '\.\.\..*bad\\udcff\.png.*\.\.\.' is not valid UTF-8; give it in another way", err
    )
    assert len(err) < 250


def test_names_are_printed_as_they_are_and_in_one_line_for_a_program(
    store: Path, monkeypatch: Any, capsys: Any
) -> None:
    console.say(":smile: [b]x[/b]")
    assert capsys.readouterr().out == ":smile: [b]x[/b]\n"
    console.table("t", ["id", "n"], [["x" * 500, "1"]])
    assert capsys.readouterr().out.splitlines()[-1] == "x" * 500 + "  1"
    assert "a:smile:" in given(monkeypatch, capsys, "query", store, "--id", "b")[1]


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (("export", "o.npy"), "Stopped. Nothing was changed; give the same command again."),
        (("delete", "b"), "Stopped. The change was made whole or not at all: see whether embedstore log has it,"),
        (("summarize", "class-mean"), "Stopped. The summary was saved whole or not at all: see embedstore summaries,"),
        (("add",), "Stopped. What was finished is kept; the same command goes on from there."),
    ],
)
def test_ctrl_c_says_what_is_left(verb: tuple[str, ...], said: str, store: Path, monkeypatch: Any, capsys: Any) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedstore, "open", stopped)
    code, _, err = given(monkeypatch, capsys, verb[0], store, *verb[1:])
    assert code == 130
    assert err.startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --out run", "Finished epochs are kept; the same command goes on from there with --resume."),
        ("compare s --policies own --out runs", "Finished epochs are kept; the same command goes on from there."),
        (
            "export run m.onnx",
            "The file was written whole or not at all; where it was not, give the same command again.",
        ),
        ("evaluate run", "Each file was written whole or not at all; give the same command again."),
        ("gate run", "Each file was written whole or not at all; give the same command again."),
        ("predict m.onnx photos", "Each file was written whole or not at all; give the same command again."),
    ],
)
def test_ctrl_c_promises_no_more_than_a_verb_of_distill_keeps(
    words: str, said: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    verb = words.split(maxsplit=1)[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distill, verb, stopped)
    monkeypatch.setattr(distill_cli.train, "joined", stopped)
    monkeypatch.setattr("distill.terminal.model.TerminalModel", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["distill", *words.split()])
    with pytest.raises(SystemExit) as ended:
        distill_cli.main.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"Stopped. {said}"


@pytest.mark.parametrize("command", ["embedstore", "distill"])
def test_ctrl_c_during_the_start_ends_in_no_traceback(command: str, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt", "utf-8")  # stopped while the first package is loaded
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {command}_cli.main"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_a_field_has_one_condition() -> None:
    assert conditions(["label=a=b", "note=", "label=a=b"]) == {"label": "a=b", "note": None}
    with pytest.raises(
        SettingsError, match="'label' was asked to be both 'a' and 'b', which no sample meets; give one"
    ):
        conditions(["label=a", "label=b"])
    with pytest.raises(SettingsError, match="'label' was asked to be both '' and 'b'"):
        conditions(["label=", "label=b"])


def test_an_earlier_version_is_read(store: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    exported = given(monkeypatch, capsys, "export", store, tmp_path / "o.npy", "--version", "first", "--json")[1]
    facts = json.loads(exported)
    assert (facts["version"], facts["beside"]) == (1, str(tmp_path / "o.csv"))
    assert np.load(tmp_path / "o.npy").shape == (2, 2)
    then = json.loads(given(monkeypatch, capsys, "info", store, "--version", "1", "--json")[1])
    now = json.loads(given(monkeypatch, capsys, "info", store, "--json")[1])
    assert (then["samples"], now["samples"]) == (2, 3)
    assert (then["attributes"], then["tags"], then["image_root"]) == (["light"], {"first": 1}, None)
    assert set(now) - set(then) == {
        "set_aside", "unfinished", "first_build", "running", "outputs_incomplete", "lost", "other_teachers", "index",
    }  # fmt: skip
    said = given(monkeypatch, capsys, "info", store, "--version", "1")[1]
    assert "not known, since the vectors were imported" in said
    assert "set aside" not in said
