"""How a page sends what a person decided, and what a store must hold afterwards."""

import json
from pathlib import Path
from typing import Any

from inspected import ADDRESS
from starlette.testclient import TestClient
from test_security import write_token

import embedstore
from embedstore.store.fields import spelt
from embedstore_inspector.security import WRITE_HEADER

HOSTILE_LABEL = "<img src=x onerror=alert(1)>\"'&amp; \u202e{value}"


def sent(client: TestClient, path: str, body: object) -> Any:
    """Post JSON, or bytes as they are, as the page does: without moving the server on to the newest version."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    key = client.get("/api/state").json()["key"]
    return client.post(
        path, params={"key": key}, content=data, headers={"Origin": ADDRESS, WRITE_HEADER: own_token(client)}
    )


def own_token(client: TestClient) -> str:
    """Return the token of a client's page, read once."""
    if not hasattr(client, "write_token"):
        client.write_token = write_token(client)  # type: ignore[attr-defined]
    return str(client.write_token)  # type: ignore[attr-defined]


def decision(sample_id: str, kind: str, value: str | None = None, since: int = 1) -> dict[str, Any]:
    """Return a decision as the page sends it."""
    return {"id": sample_id, "kind": kind, "value": value, "since": since}


def save(client: TestClient, *decisions: dict[str, Any]) -> Any:
    """Send decisions."""
    return sent(client, "/api/triage", {"verdicts": list(decisions)})


def texts(store: Path, *ids: str, field: str = "label") -> list[str | None]:
    """Return a field of samples as the store has it now."""
    with embedstore.open(store) as opened:
        found = opened.text_field(spelt(field))
        return [found.at(at) for at in opened.positions(list(ids)).tolist()]


def version(store: Path) -> int:
    """Return the store's version."""
    with embedstore.open(store) as opened:
        return opened.version
