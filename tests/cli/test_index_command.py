"""`embedstore index`, and what `embedstore query` makes of the index."""

import json
from pathlib import Path

import pytest
from helpers import store_of, unit_vectors
from typer.testing import CliRunner, Result

import embedstore
from embedstore.errors import EmbedstoreError, SettingsError
from embedstore_cli.index import _bytes
from embedstore_cli.main import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    vectors = unit_vectors(2, 400, 6)
    store_of(tmp_path / "parts.store", vectors, labels=["good", "bad"] * 200).close()
    return tmp_path / "parts.store"


def test_an_index_is_made_asked_and_deleted(path: Path) -> None:
    made = run("index", path, "--factory", "IVF4,SQfp16", "--recall", 0.95, "--seed", 3)
    assert made.exit_code == 0, made.output
    with embedstore.open(path) as store:
        info = store.index_info
    assert info is not None
    assert (info.factory, info.wanted, info.seed) == ("IVF4,SQfp16", 0.95, 3)
    assert made.stdout.startswith(
        f"Indexed 400 samples: IVF4,SQfp16, nprobe {info.nprobe}, {info.size / 1e6:,.1f} MB, "
    )
    assert made.stdout.splitlines()[1:] == [
        f"recall@10 {info.recall:.4f}, measured with 400 stored samples; {info.rare_recall:.4f} with the 64 rarest."
    ]
    asked = [
        json.loads(run("query", path, "--id", "sample 00003", "--json", *way).stdout) for way in ((), ("--exact",))
    ]
    assert asked[0][0] == asked[1][0]
    said = (
        f"By the index, which finds {info.recall:.1%} of the nearest, for rare samples {info.rare_recall:.1%}, as measured "
        "with stored samples; --exact scans all.\n"
    )
    assert run("query", path, "--id", "sample 00003").stdout.endswith(said)
    assert "By the index" not in run("query", path, "--id", "sample 00003", "--exact").stdout
    assert "By the index" not in run("query", path, "--id", "sample 00003", "--where", "label=good").stdout
    assert "By the index" not in run("query", path, "--id", "sample 00003", "--top", 11).stdout
    deleted = run("index", path, "--delete")
    assert deleted.stdout == f"Deleted the index of '{path}'.\n"
    assert run("index", path, "--delete").stdout == f"'{path}' has no index.\n"
    assert json.loads(run("index", path, "--delete", "--json").stdout) == {"deleted": False}


def test_the_facts_as_json(path: Path) -> None:
    facts = json.loads(run("index", path, "--factory", "Flat", "--json").stdout)
    with embedstore.open(path) as store:
        assert store.index_info is not None
        assert facts == store.index_info.__dict__ | {"seconds": facts["seconds"]}
    assert facts["seconds"] > 0


def test_a_recall_that_is_not_reached_is_said(path: Path) -> None:
    flat_line = run("index", path, "--factory", "PCA1,Flat", "--recall", 1)
    assert "Wanted was a recall of 1.0, which this kind does not reach here" in flat_line.stdout
    assert "Wanted was a recall for rare samples of 0.9, which this kind does not reach" in flat_line.stdout


def test_a_small_store_is_scanned(path: Path) -> None:
    assert "has 400 samples, which are scanned fast enough, so no index was made" in run("index", path).stdout
    assert json.loads(run("index", path, "--json").stdout) is None
    kind = run("index", path).stdout.split("--factory ")[1].strip()
    assert run("index", path, "--factory", kind).exit_code == 0


@pytest.mark.parametrize("indexed", [False, True])
def test_a_query_reads_an_earlier_version(path: Path, indexed: bool) -> None:
    ask = ("query", path, "--id", "sample 00003", "--top", 3, "--json")
    before = run(*ask).stdout
    with embedstore.open(path) as store:
        store.tag("before")
        with store.write() as writing:
            writing.delete([hit["id"] for hit in json.loads(before)])
        if indexed:
            store.build_index("Flat")
    assert run(*ask).stdout != before
    assert run(*ask, "--version", 1).stdout == run(*ask, "--version", "before").stdout == before


def test_a_bad_index_is_told_on_stderr_and_the_answers_are_those_of_the_scan(path: Path) -> None:
    run("index", path, "--factory", "Flat")
    for marker in path.glob("generations/*/index/index.json"):
        marker.write_text("{}")
    asked = run("query", path, "--id", "sample 00003", "--json")
    assert asked.stderr.startswith("Warning: The index of '")
    assert f"make it again with: embedstore index '{path}'" in asked.stderr
    exact = run("query", path, "--id", "sample 00003", "--json", "--exact")
    assert (exact.stderr, exact.stdout) == ("", asked.stdout)


def test_mistakes_are_told_in_one_sentence(path: Path) -> None:
    for option, value in (("--factory", "IVF0"), ("--memory", "lots"), ("--recall", 2)):
        result = run("index", path, option, value)
        assert isinstance(result.exception, EmbedstoreError)
        assert str(value) in str(result.exception)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512MB", 512 * 10**6),
        ("2 GB", 2 * 10**9),
        ("1.5g", 15 * 10**8),
        ("4GiB", 1 << 32),
        ("1000", 1000),
        ("64KiB", 65536),
    ],
)
def test_amounts_of_memory(text: str, expected: int) -> None:
    assert _bytes(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-5MB", "1e9", "5PB", "5 MBs", "9" * 20])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(SettingsError, match="is no number of bytes"):
        _bytes(text)
