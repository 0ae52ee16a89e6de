"""Images out of the engine, as OCI layouts (what `docker save` has written since Docker 25)."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdaf import progress
from cdaf.engine.client import api, asking
from cdaf.engine.images import inspect
from cdaf.errors import EngineError

_CHUNK = 1 << 20


def save(name: str, folder: Path) -> None:
    """Write an image that the engine has, by id or reference, as a layout into a folder that is there and empty.

    Raises EngineError when it has none of that name, or writes the older form alone.
    """
    if inspect(name) is None:
        raise EngineError(f"the engine has no image {name}", "look at `docker images`")
    with asking(f"saving image {name}"), progress.transfer(f"save {name}") as moved:
        source: Any = _Stream(_counted(api().get_image(name), moved))
        with tarfile.open(fileobj=source, mode="r|") as archive:
            _spread(archive, folder)
    if not (folder / "index.json").is_file():
        raise EngineError("the engine saves images in the form from before Docker 25", "upgrade Docker")


def _spread(archive: tarfile.TarFile, folder: Path) -> None:
    """Files and folders below `folder`; tarfile's own filters came with patch releases that not every Python has."""
    for member in archive:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts or not (member.isfile() or member.isdir()):
            continue
        place = folder.joinpath(*parts)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        with place.open("wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)


def _counted(chunks: Iterator[bytes], moved: Any) -> Iterator[bytes]:
    for chunk in chunks:
        moved(len(chunk))
        yield chunk


class _Stream:
    """Chunks as the file that tarfile reads on from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._waiting = chunks, bytearray()

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size and (chunk := next(self._chunks, b"")):
            self._waiting += chunk
        found = bytes(self._waiting[:size])
        del self._waiting[:size]
        return found
