"""Summaries over shards by the real command."""

import json
from pathlib import Path

import pytest
from toy_commands import call, refused, save

import embedstore


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("over shards")
    for number in range(40):
        save(place / "photos" / ("good" if number % 3 else "defect") / f"{number}.png", number, bright=number % 3 == 0)
    call("embedstore", "build", "s", "photos", "--teacher", "pixels", cwd=place)
    return place


def test_a_summary_over_shards_says_how_it_was_made_and_is_as_good_as_any_other(place: Path) -> None:
    options = ("--k", "3", "--json")
    engine = ("--name", "over", "--engine", "shards")
    result = call("embedstore", "summarize", "s", "sub-prototypes", *engine, *options, cwd=place)
    facts = json.loads(result.stdout)
    assert "k-means" in result.stderr
    assert "1/1" in result.stderr
    gathered = call("embedstore", "summarize", "s", "sub-prototypes", *options, cwd=place)
    assert "making sub-prototypes" in gathered.stderr
    expected = json.loads(gathered.stdout)
    assert facts["remarks"][0].startswith(
        "Made over shards, so never with all vectors of a label in memory: k-means started"
    )
    assert not [one for one in expected["remarks"] if "shards" in one]
    assert len(facts["prototypes"]) == len(expected["prototypes"]) == 6
    with embedstore.open(place / "s") as store:
        assert store.summary("over").parameters == store.summary("sub-prototypes").parameters == {"k": 3}
    call("embedstore", "export", "s", "over.safetensors", "--summary", "over", cwd=place)
    assert (place / "over.safetensors").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("class-mean", "--engine", "dask"), "The engine 'dask' is unknown; use one of shards, ray, or none."),
        (("class-mean", "--address", "here:6379"), "give --engine ray too"),
        (("herding", "--engine", "shards"), "can't be made over shards; give no engine, or use one of class-mean"),
        (("class-mean", "--engine", "ray", "--address", "nowhere"), "'nowhere' is none of a Ray cluster"),
    ],
)
def test_what_can_t_be_is_refused(options: tuple[str, ...], sentence: str, place: Path) -> None:
    assert sentence in " ".join(refused("embedstore", "summarize", "s", *options, "--name", "no", cwd=place).split())
