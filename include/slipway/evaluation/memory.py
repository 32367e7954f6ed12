"""How much memory this process has for itself and a model."""

from __future__ import annotations

from pathlib import Path

_KIB = 1024


def own_bytes(servable: str) -> int | None:
    """Resident bytes that no file stands behind, and those of the files of a servable.

    Returns:
        None where the kernel does not tell.
    """
    total, is_model = 0, False
    try:
        # Line by line: all of it at once would itself be megabytes.
        with Path("/proc/self/smaps").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                field, *rest = line.split(maxsplit=5)
                if not field.endswith(":"):
                    is_model = bool(rest) and rest[-1].startswith(servable)
                elif field == "Anonymous:" or (field == "Rss:" and is_model):
                    total += int(rest[0]) * _KIB
    except OSError:
        return None
    return total
