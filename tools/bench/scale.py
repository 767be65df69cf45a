"""Write docs/scale.md and docs/scale.ja.md from their records.

    python tools/bench/scale.py [--docs docs]

The texts are in `growth_parts/pages`, each figure in them a name in braces; `growth_parts/figures.py` computes it.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]

from growth_parts.figures import figures, records  # noqa: E402

PAGES = ("scale.md", "scale.ja.md")


def main() -> None:
    """Write both pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the folder of the records and the pages")
    options = parser.parse_args()
    for name, text in pages(options.docs).items():
        (options.docs / name).write_text(text, "utf-8", newline="\n")


def pages(docs: Path) -> dict[str, str]:
    """Return the text of each page, with the figures of the records in a folder."""
    known = figures(records(docs))
    return {name: (HERE / "growth_parts" / "pages" / name).read_text("utf-8").format_map(known) for name in PAGES}


if __name__ == "__main__":
    main()
