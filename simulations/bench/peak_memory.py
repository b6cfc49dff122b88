"""The peak of this process's memory."""

import resource
import sys
from pathlib import Path

__all__ = ["peak_mib"]

_MIB = 1024.0**2


def peak_mib() -> float:
    """The peak resident set of this process, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # `ru_maxrss` of a new process starts at its parent's on Linux
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024
