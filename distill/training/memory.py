"""How much memory this process has needed at most, and how it gives memory back."""

import ctypes
import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """Return the largest resident memory that this process has had, in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent had when it started this process
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


# Numbers of `mallopt`, see malloc.h: how much may lie free at the end of the heap (M_TRIM_THRESHOLD), and from what size on
# memory is taken from the system apart (M_MMAP_THRESHOLD, at most this much).
_HELD = ((-1, 1 << 30), (-3, 1 << 25))


def hold_freed_memory() -> bool:
    """Let this process keep what a step frees for the next one, and return whether the system lets it.

    A step frees and takes some 10 MB; GNU's C library gives them back to the system each time, and each page that is taken again
    costs a fault: a tenth of the step of a small student. It changes the whole process, so it is for processes that do nothing
    but train. The most that is ever held does not change.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _HELD)
