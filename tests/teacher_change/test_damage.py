"""Damage in the space that is not in use: it is found, a repair gives the vectors up, and a migration embeds them again."""

from pathlib import Path

import pytest
from helpers import CountingTeacher, snapshot
from two_teachers import TurnedTeacher, built

import embedstore
from embedstore.store import layout
from embedstore.store.layout import Column
from embedstore.store.writing import writer
from embedstore.teacher_change import space_states


def damage(store: Path, column: Column) -> None:
    key = layout.vector_key(column, 0)
    with writer(store) as session:
        environment = session.environment

        def flip(transaction: "object") -> None:
            database = environment.database(layout.VECTORS)
            value = bytearray(transaction.get(key, db=database))  # type: ignore[attr-defined]
            value[100] ^= 1
            transaction.put(key, bytes(value), db=database)  # type: ignore[attr-defined]

        environment.write(flip)


@pytest.mark.parametrize("switched", [False, True])
def test_vectors_that_are_not_in_use_are_given_up_and_embedded_again(switched: bool, tmp_path: Path) -> None:
    store = built(tmp_path / "store")
    embedstore.migrate(store, TurnedTeacher(), switch=switched)
    with embedstore.open(store) as opened:
        before = snapshot(opened)
    idle = CountingTeacher() if switched else TurnedTeacher()
    damage(store, Column(idle.fingerprint, "embedding", 1))
    assert embedstore.verify(store).findings
    assert embedstore.repair(store).changed
    assert embedstore.verify(store).findings == ()
    with embedstore.open(store) as opened:
        assert snapshot(opened) == before | {"version": opened.version}
        assert [(state.plain, state.complete) for state in space_states(opened)] == [(24, 24), (24, 0)]
    report = embedstore.migrate(store, idle)
    assert (report.switched, report.embedded, report.complete) == (True, 24, 24)
    assert embedstore.verify(store).findings == ()
