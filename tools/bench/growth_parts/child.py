"""Runs one step in this process: python -m growth_parts.child STEP FOLDER RESULT.json"""

import json
import sys
import time
from pathlib import Path

from growth_parts.steps import STEPS


def main() -> None:
    """Run it and write how long it took, when, and what it tells."""
    step, folder, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    began, clock = time.time(), time.monotonic()
    facts = STEPS[step](folder)
    seconds = time.monotonic() - clock
    values = {"seconds": seconds, "began": began, "ended": time.time(), "facts": facts}
    result.write_text(json.dumps(values), "utf-8")


if __name__ == "__main__":
    main()
