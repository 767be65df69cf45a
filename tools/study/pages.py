"""The documents on rare defects, made from the JSON of the study: docs/rare-defects.md, the same in Japanese, their pictures.

    python tools/study/pages.py [--docs docs/study]

The same JSON gives the same bytes. What is not finished is said to be missing; nothing is made up for it.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from page_parts.document import make_pictures, make_pieces, render  # noqa: E402
from page_parts.drawing import NARROW, WIDE  # noqa: E402
from page_parts.evidence import RESAMPLES, Evidence  # noqa: E402
from page_parts.markdown import LANGUAGES  # noqa: E402

from embedstore.errors import EmbedstoreError  # noqa: E402

NAME = "rare-defects"


def main() -> None:
    """Write the documents beside the folder of the JSON, and the pictures into it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs/study"), help="the folder of the JSON")
    docs = parser.parse_args().docs
    try:
        made = make(docs)
    except (EmbedstoreError, OSError, ValueError, KeyError) as error:
        sys.exit(f"Error: the results in '{docs}' can't be read ({type(error).__name__}: {error}).")
    for path in docs.glob("*.svg"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    sys.stdout.write(
        f"{len(made)} files from '{docs}': {', '.join(str(path) for path in made if path.suffix == '.md')}\n"
    )


def make(docs: Path, resamples: int = RESAMPLES) -> dict[Path, str]:
    """Return all files with their text.

    Args:
        docs: the folder of the JSON.
        resamples: of the intervals.
    """
    evidence = Evidence(docs, resamples=resamples)
    pictures = make_pictures(evidence)
    pieces = make_pieces(evidence, pictures)
    made = {
        docs.parent / f"{NAME}{ending}.md": render(pieces, language, docs.name)
        for language, ending in LANGUAGES.items()
    }
    for picture in pictures.values():
        for language, ending in LANGUAGES.items():
            for width, kind in ((WIDE, ""), (NARROW, ".narrow")):
                made[docs / f"{picture.name}{kind}{ending}.svg"] = picture.svg(language, width)
    return made


if __name__ == "__main__":
    main()
