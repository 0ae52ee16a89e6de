"""Turning any exception into an error that a user can act on; a traceback goes to a file, never to the screen."""

import errno
import hashlib
import traceback

from cdaf import places
from cdaf.errors import CdafError, UsageError
from cdaf.terminal import redact

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
_HINTS = {
    **dict.fromkeys(_FULL, "free some space and run the command again"),
    **dict.fromkeys(_DENIED, "check the owner and mode of the file and its folder"),
    **dict.fromkeys(_SCARCE, "raise the limit (`ulimit`), or run the command again when the machine has room"),
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file, not a folder",
}


def explain(error: BaseException) -> CdafError:
    """The error to show: itself when it is one of ours, the file and reason for the system's, else an internal one."""
    if isinstance(error, CdafError):
        return error
    if isinstance(error, MemoryError):
        return CdafError("out of memory", "give the machine or container more memory")
    if isinstance(error, OSError) and error.errno is not None:
        return _system(error)
    return _internal(error)


def _system(error: OSError) -> CdafError:
    """An error of the operating system, by the file it names (errno(3))."""
    reason = (error.strerror or str(error)).lower()
    named = error.filename2 or error.filename
    name = named.decode(errors="replace") if isinstance(named, bytes) else named
    if name is not None and error.errno in (*_DENIED, errno.ENOTDIR, errno.EEXIST) and places.in_cache(name):
        return UsageError(f"the cache {places.cache()} cannot be used: {reason}", places.HINT)
    message = f"{name}: {reason}" if name is not None else reason
    return CdafError(message, _HINTS.get(error.errno or 0, ""), transient=error.errno in (*_FULL, *_SCARCE))


def _internal(error: BaseException) -> CdafError:
    """A mistake of ours: one line, and where the traceback lies."""
    text = redact.text("".join(traceback.format_exception(error)))
    place = places.cache() / "tracebacks" / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
    hint = "report this as a mistake in cdaf"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", errors="backslashreplace")
        hint += f", with {place}"
    except OSError:
        hint += "; its traceback could not be saved"
    first = (str(error).splitlines() or [""])[0]
    return CdafError(f"internal: {type(error).__name__}: {first}", hint)
