"""Files that appear whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and put it there when it is whole: whatever happens before,
    what stood there stays.

    **Raises:** `OSError` where it cannot be written.

    !!! example

        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "page.html"
        >>> write_whole(file, b"<!doctype html>")
        >>> [each.name for each in file.parent.iterdir()]
        ['page.html']
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
