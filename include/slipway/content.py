"""What a folder contains, as a digest: the name by which Slipway knows content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a folder.

    Attributes:
        path: Relative to the folder, with forward slashes.
        size: In bytes.
        sha256: Of the content, 64 lower-case hexadecimal digits.
    """

    path: str
    size: int
    sha256: str


def bytes_digest(data: bytes) -> str:
    """Returns the sha256 of the bytes as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file, read in blocks, as 64 lower-case hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(folder: Path) -> list[FileEntry]:
    """Lists every regular file below a folder, sorted by path, and reads each.

    Empty folders do not count: no object store could hold them.

    Raises:
        TerminalError: As `folder_sizes`.
    """
    return [
        FileEntry(path, size, file_digest(folder / path))
        for path, size in folder_sizes(folder).items()
    ]


def folder_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every regular file below a folder, by path; reads none.

    Raises:
        TerminalError: The folder is missing, or holds a link or a special file, whose content
            would depend on something outside the folder.
    """
    if not folder.is_dir():
        raise TerminalError(
            f"There is no folder {folder}.",
            hint="Run the step that makes it, or correct the path.",
            subject=str(folder),
        )
    sizes = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise TerminalError(
                    f"{path} is a link or a special file, so its content cannot be fixed.",
                    hint="Replace it by a regular file.",
                    subject=str(path),
                )
        for name in names:
            path = Path(parent, name)
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return dict(sorted(sizes.items()))


def digest_of(files: Iterable[FileEntry]) -> str:
    r"""Returns one digest over a set of files.

    The sha256, as 64 lower-case hexadecimal digits, over the UTF-8 text that has one line
    ``<path>\0<sha256>\n`` a file, the lines sorted by path. Sizes, times and permissions do not
    count; renaming a file does.
    """
    whole = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: entry.path):
        whole.update(f"{entry.path}\0{entry.sha256}\n".encode())
    return whole.hexdigest()


def tree_digest(folder: Path) -> str:
    """Returns the digest over all files below a folder, by the formula of `digest_of`.

    Raises:
        TerminalError: As `folder_files`.
    """
    return digest_of(folder_files(folder))
