"""The least pace of an answer: a server that sends a byte now and then would else hold us for ever.

The wait for an answer's first byte is not counted: a registry may hash gigabytes before it answers.
"""

import io
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

WINDOW = 60.0  # seconds of waiting that are judged together
LEAST = 1000  # bytes a second


class TooSlow(TimeoutError):
    """An answer came, but slower than any line that is worth waiting for."""


class _Paced(io.RawIOBase):
    """A socket's reading end that raises TooSlow; time that the reader spends elsewhere does not count."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw, self._waited, self._got, self._begun = raw, 0.0, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        began = time.monotonic()
        got = self._raw.readinto(buffer)
        if self._begun:
            self._count(time.monotonic() - began, got or 0)
        self._begun = True
        return int(got or 0)

    def _count(self, waited: float, got: int) -> None:
        self._waited += waited
        self._got += got
        if self._waited < WINDOW:
            return
        if self._got < WINDOW * LEAST:
            raise TooSlow(f"it sends less than {LEAST} bytes a second")
        self._waited, self._got = 0.0, 0

    def close(self) -> None:
        self._raw.close()
        super().close()


def paced() -> type[Any]:
    """The class of answers of connections that are paced."""
    import http.client

    class Response(http.client.HTTPResponse):
        """An answer that has to come at a pace."""

        def __init__(self, sock: Any, *rest: Any, **how: Any) -> None:
            super().__init__(sock, *rest, **how)
            self.fp = io.BufferedReader(_Paced(self.fp.detach()))

    return Response
