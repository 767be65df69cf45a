"""The search engines that a store can be copied to. To add one, write a file with its class and add its line here."""

from __future__ import annotations

import os
from typing import Protocol

from embedstore.errors import SettingsError
from embedstore.search_engines.engine import SearchEngine
from embedstore.search_engines.milvus import Milvus


class _Opens(Protocol):
    def __call__(self, uri: str, *, create: bool) -> SearchEngine: ...


ENGINES: dict[str, _Opens] = {"milvus": Milvus}


def engine_at(engine: str, uri: str | None, *, create: bool) -> SearchEngine:
    """Open an engine by its name and address; where there is none, the environment variable EMBEDSTORE_NAME_URI says it.

    Raises:
        SettingsError: there is no such engine, or nobody says where it is.
    """
    if engine not in ENGINES:
        raise SettingsError(f"There is no search engine '{engine}'; use one of {', '.join(ENGINES)}.")
    variable = f"EMBEDSTORE_{engine.upper()}_URI"
    address = uri or os.environ.get(variable)
    if not address:
        raise SettingsError(f"Say where {engine} is: give --uri, or set {variable}.")
    return ENGINES[engine](address, create=create)
