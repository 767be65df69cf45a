"""`embedstore upgrade`: what it says, and that the store can be read afterwards."""

import json
from pathlib import Path

from old_stores import OldStore
from typer.testing import CliRunner, Result

from embedstore.errors import StoreError
from embedstore_cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300"})


def test_a_store_of_an_earlier_release_is_upgraded_once(tmp_path: Path) -> None:
    old = OldStore(tmp_path / "old", newest=2)
    path, count = old.path, len(old.versions[-1])
    refused = run("info", path)
    assert isinstance(refused.exception, StoreError)
    assert f"embedstore upgrade '{path}'" in str(refused.exception)
    done = run("upgrade", path)
    assert (done.exit_code, done.stdout) == (
        0, f"'{path}' had format 1 and has format 2 now: {count} samples, newest version 2; all versions can be opened.\n"
    )  # fmt: skip
    versions = json.loads(run("log", path, "--json").stdout)
    assert [(one["number"], one["action"], one["readable"]) for one in versions] == [
        (number, "before the upgrade", True) for number in (2, 1, 0)
    ]
    again = run("upgrade", path)
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout == f"'{path}' has format 2, that of this release; nothing was changed.\n"
    facts = json.loads(run("upgrade", path, "--json").stdout)
    assert facts == {"before": 2, "format": 2, "version": 2, "samples": count}
