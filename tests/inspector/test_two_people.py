"""Two people at one server, on a real socket: both save at the same moment, and nothing is lost."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from deciding import decision, texts, version
from inspected import COUNT, name_of, served

import embedstore
from embedstore_inspector.security import WRITE_HEADER


class Person:
    """A browser's page: its token, the store's key, and the version on its screen."""

    def __init__(self, address: str):
        self.address = address
        with urlopen(address, timeout=30) as page:  # noqa: S310  our own
            self.token = page.read().decode().split('name="write-token" content="')[1].split('"')[0]
        with urlopen(f"{address}api/store", timeout=30) as told:  # noqa: S310
            store = json.load(told)
        self.key, self.version = store["key"], store["version"]

    def save(self, decisions: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Send decisions; return the status and the answer."""
        request = Request(  # noqa: S310
            f"{self.address}api/triage?key={self.key}",
            json.dumps({"verdicts": decisions}).encode(),
            {"Origin": self.address.rstrip("/"), WRITE_HEADER: self.token},
        )
        try:
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)


def test_the_second_is_told_of_what_both_decided_and_saves_the_rest(line: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(line / "store", store)
    both = [name_of(at) for at in (2, 5, 8)]
    alone = [[name_of(at) for at in range(start, COUNT, 6)] for start in (3, 4)]
    kinds = ["rare", "dirt"]
    with served(store) as address:
        people, at_once = [Person(address), Person(address)], threading.Barrier(2)

        def saved(who: int) -> tuple[int, dict[str, Any]]:
            given = [decision(one, kinds[who], since=people[who].version) for one in both + alone[who]]
            at_once.wait()
            return people[who].save(given)

        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(saved, range(2)))
        assert sorted(status for status, _ in answers) == [200, 409]
        first, second = sorted(range(2), key=lambda who: answers[who][0])
        assert answers[first][1]["made"] == 2
        assert [one["id"] for one in answers[second][1]["conflicts"]] == both
        assert texts(store, *both, *alone[first], field="verdict") == [kinds[first]] * (3 + len(alone[first]))
        assert set(texts(store, *alone[second], field="verdict")) == {None}

        status, answer = people[second].save([decision(one, kinds[second], since=1) for one in alone[second]])
        assert (status, answer["made"]) == (200, 3)
        assert texts(store, *alone[second], field="verdict") == [kinds[second]] * len(alone[second])
        assert texts(store, *both, field="verdict") == [kinds[first]] * 3
        status, answer = people[second].save([decision(one, kinds[second], since=2) for one in both])  # looked at again
        assert (status, answer["made"]) == (200, 4)
    assert version(store) == 4
    with embedstore.open(store) as opened:
        assert [entry.action for entry in opened.log()][-3:] == ["triage"] * 3


def test_a_store_that_was_put_in_place_of_another_takes_no_decisions_of_the_other(line: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(line / "store", store)
    with served(store) as address:
        person = Person(address)
        person.key = "0" * 16
        status, answer = person.save([decision(name_of(2), "rare")])
    assert status == 409
    assert "another store" in answer["error"]["en"]
    assert version(store) == 1
