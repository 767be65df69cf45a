"""Writes the API pages from the docstrings: python tools/docs/build.py [DIRECTORY]; `make docs` calls it."""

import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

import distill

MODULES = (
    "embedstore",
    "embedstore.results",
    "embedstore.errors",
    "embedstore.triage",
    "embedstore.teacher_change",
    "embedstore.summaries",
    "embedstore.teachers",
    "embedstore.imports",
    "embedstore.exports",
    "embedstore.engines",
    "embedstore.search_engines",
    "embedstore.store.layout",
    "distill",
    "distill.targets",
    "distill.losses",
    "distill.students",
    "distill.evaluation",
)


def build(directory: Path) -> None:
    """Write one page a module, and a search over all, that need no network.

    Raises:
        UserWarning: a public name can't be found, or a docstring can't be read.
    """
    for name in distill.__all__:  # what is loaded on first use only is not seen otherwise
        setattr(distill, name, getattr(distill, name))
    pdoc.render.configure(docformat="google", footer_text="embedstore")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        # In a class with a method `set`, pdoc takes that for the `set[...]` of private attributes, which no page shows.
        warnings.filterwarnings("ignore", r"Error parsing type annotation set\[.* for .*\.StoreWriter\._", UserWarning)
        pdoc.pdoc(*MODULES, output_directory=directory)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
