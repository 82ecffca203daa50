"""What decoding a recording may take, in proportion to its file."""

from __future__ import annotations

import os
from pathlib import Path

_MIB = 1 << 20

#: Bytes of address space above what the process has: FFmpeg and its buffers take a tenth of the first; the
#: index of a long video is a small part of its file.
_MEMORY, _MEMORY_PER_BYTE, _MAX_MEMORY = 512 * _MIB, 4, 4096 * _MIB

#: Seconds of CPU: one decodes minutes of any sound, so that an hour in a MiB takes a tenth of the second.
_CPU, _CPU_PER_MIB = 60.0, 20.0

#: Seconds of waiting, for each of CPU: other work goes on beside it, and disks are slow.
_WALL_PER_CPU = 4.0


def cpu_seconds(size: int) -> float:
    """CPU time that decoding a file may take.

    :param size: bytes of the file.
    """
    return _CPU + _CPU_PER_MIB * size / _MIB


def wall_seconds(size: int) -> float:
    """Seconds that one may wait for the decoding of a file.

    :param size: bytes of the file.
    """
    return _WALL_PER_CPU * cpu_seconds(size)


def file_size(path: str | Path) -> int:
    """Bytes of a file; 0 where it cannot be told."""
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0


def limit_process(size: int) -> None:
    """Limit the memory and, from now on, the CPU time of this process, where the system can.

    A process that takes more memory gets a `MemoryError`, one that takes more time is ended.

    :param size: bytes of the file that is decoded next.
    """
    try:
        import resource
    except ImportError:  # Windows, where the time that one waits is the only limit
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + cpu_seconds(size)) + 1
    _set(resource.RLIMIT_CPU, cpu)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):  # macOS, which does not keep to a limit of address space
        return
    present = pages * os.sysconf("SC_PAGE_SIZE")
    _set(resource.RLIMIT_AS, present + min(_MEMORY + _MEMORY_PER_BYTE * size, _MAX_MEMORY))


def _set(kind: int, limit: int) -> None:
    """Lower or raise a limit; one that a user set lower stays."""
    import resource

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
