"""One step of one system, in a process of its own: `python -m storage_parts.child JOB RESULT`, both JSON files."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from storage_parts.steps import STEPS, Outcome, Truth
from storage_parts.systems import SYSTEMS
from storage_parts.systems.system import NotOfferedError
from storage_parts.vectors import Rows


def main() -> None:
    """Run the job and write what came of it."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    rows = Rows(Path(job["rows"]), job["count"], job["seed"])
    system = SYSTEMS[job["system"]](Path(job["folder"]), rows, job["settings"], job["threads"], job["budget"])
    truth = Truth(rows, dict(np.load(rows.folder / "truth.npz")))
    found = Outcome()
    try:
        STEPS[job["step"]](system, truth, found)
    except NotOfferedError as reason:
        found.facts["not offered"] = str(reason)
    Path(sys.argv[2]).write_text(json.dumps(asdict(found)), "utf-8")


if __name__ == "__main__":
    main()
