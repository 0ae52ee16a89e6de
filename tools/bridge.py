"""A network bridge for a second engine, without programs: ioctls of Linux (netdevice(7), linux/sockios.h)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

ADD, DELETE, SET_FLAGS = 0x89A0, 0x89A1, 0x8914


@contextmanager
def own(name: str = "") -> Iterator[str]:
    """A bridge to start a second engine with (`--bridge NAME`), gone afterwards.

    Told `--bridge none`, dockerd deletes docker0, which is the first engine's, and its containers lose their network.
    """
    name = name or f"cdaf{os.getpid()}"
    _ask(ADD, name.encode() + b"\0")
    try:
        yield name
    finally:
        _ask(SET_FLAGS, struct.pack("16sh14x", name.encode(), 0))  # only one that is down can be deleted
        _ask(DELETE, name.encode() + b"\0")


def _ask(request: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kernel:
        fcntl.ioctl(kernel, request, argument)
