"""`embedstore export --to milvus` and `embedstore query --via milvus`."""

import json
from pathlib import Path

import pytest
from helpers import store_of, unit_vectors
from typer.testing import CliRunner, Result

from embedstore.errors import EmbedstoreError, OutOfStepError, SettingsError
from embedstore_cli.main import app


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300", **environment})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("milvus_lite", reason="needs the extra 'milvus'")
    store_of(tmp_path / "parts.store", unit_vectors(2, 60, 6), labels=["good", "bad", None] * 20).close()
    return tmp_path / "parts.store"


def refusal(*arguments: object) -> EmbedstoreError:
    error = run(*arguments).exception
    assert isinstance(error, EmbedstoreError)
    return error


def test_an_export_is_measured_and_asked_in_the_place_of_the_store(path: Path) -> None:
    uri = path.parent / "parts.db"
    made = run("export", path, uri, "--to", "milvus", "--seed", 3)
    assert made.exit_code == 0, made.output
    first, second = made.stdout.splitlines()
    assert first.startswith(f"Copied 60 samples of version 1 to '{uri}', collection 'parts', index FLAT, ")
    assert second == (
        "recall@10 1.0000 against the store's exact search, overlap@10 1.0000 with FAISS (Flat), measured with 60 stored samples "
        "(seed 3)."
    )
    for more in ((), ("--where", "label=bad"), ("--where", "label=", "--top", 3)):
        asked = ["query", path, "--id", "sample 00003", *more]
        via = run(*asked, "--via", "milvus", "--uri", uri, "--json")
        assert json.loads(via.stdout) == json.loads(run(*asked, "--exact", "--json").stdout)
        shown = run(*asked, "--via", "milvus", EMBEDSTORE_MILVUS_URI=str(uri)).stdout
        assert shown == run(*asked).stdout + (
            f"By '{uri}', collection 'parts', an export of version 1, index FLAT, which misses nothing.\n"
        )


def test_the_facts_as_json_and_what_is_not_reached(path: Path) -> None:
    uri = path.parent / "parts.db"
    made = json.loads(
        run("export", path, uri, "--to", "milvus", "--index", "IVF_FLAT", "--recall", 0.5, "--json").stdout
    )
    assert {name: made[name] for name in ("engine", "uri", "collection", "version", "count", "kind", "exact", "wanted")} == {
        "engine": "milvus", "uri": str(uri), "collection": "parts", "version": 1, "count": 60, "kind": "IVF_FLAT", "exact": False,
        "wanted": 0.5,
    }  # fmt: skip


def test_an_export_out_of_step_is_refused_with_the_command_to_make_it_again(path: Path) -> None:
    uri = path.parent / "parts.db"
    assert run("export", path, uri, "--to", "milvus", "--collection", "mine").exit_code == 0
    assert run("delete", path, "sample 00001").exit_code == 0
    error = refusal("query", path, "--id", "sample 00003", "--via", "milvus", "--uri", uri, "--collection", "mine")
    assert isinstance(error, OutOfStepError)
    assert str(error).endswith(f"export that with: embedstore export '{path}' '{uri}' --to milvus --collection mine")
    told = run(
        "query", path, "--id", "sample 00003", "--via", "milvus", "--uri", uri, "--collection", "mine", "--version", 1
    )
    assert "an export of version 1" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("export", "x.npy", "--collection", "mine"),
            "Only a search engine takes --collection, --index, --recall or --seed; ",
        ),
        (
            ("export", "x.npy", "--recall", "0.9"),
            "Only a search engine takes --collection, --index, --recall or --seed; ",
        ),
        (
            ("export", "x.db", "--to", "milvus", "--where", "label=good"),
            "A search engine gets all samples; leave out --to, or",
        ),
        (("export", "x.db", "--to", "milvus", "--light"), "A search engine gets all samples; leave out --to, or"),
        (("export", "x.db", "--to", "milvus", "--int8"), "Only a light file is written with --int8"),
        (
            ("query", "--id", "a", "--uri", "x.db"),
            "Only a search engine has --uri and --collection; give --via milvus, too",
        ),
        (("query", "--id", "a", "--via", "qdrant"), "There is no search engine 'qdrant'; use one of milvus."),
    ],
)
def test_options_that_do_not_belong_together_are_refused(path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    error = refusal(arguments[0], path, *arguments[1:])
    assert isinstance(error, SettingsError)
    assert str(error).startswith(sentence)
