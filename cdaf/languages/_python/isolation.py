"""Running a build: without network, without the user's environment, at fixed times."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cdaf import process, progress
from cdaf.errors import ResolveError
from cdaf.languages._shared.tree import TIME

# Nothing listens on the discard port of loopback: what does ask for the network fails at once.
_NOWHERE = "http://127.0.0.1:9"


def run(
    argv: Sequence[str], cwd: Path, home: Path, path: Sequence[str], extra: Mapping[str, str], failure: str
) -> None:
    """Run one step of a build; `home` takes what it writes aside, `path` comes before the system's programs.

    Raises ResolveError with the step's output when it fails.
    """
    known = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": os.pathsep.join([*path, "/usr/local/bin", "/usr/bin", "/bin"]),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONWARNINGS": "ignore",
        "SOURCE_DATE_EPOCH": str(TIME),
        "PIP_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "CARGO_NET_OFFLINE": "true",
        "http_proxy": _NOWHERE,
        "https_proxy": _NOWHERE,
        **extra,
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in sorted(known.items()))]
    masked = ["sh", "-c", 'umask 022; exec "$@"', "sh"]
    process.must([*cut_off(), *words, *masked, *argv], ResolveError, failure, cwd=cwd)


@functools.cache
def cut_off() -> tuple[str, ...]:
    """The words that start a program in a network namespace of its own, which holds no network at all.

    Where it can be, processes have a namespace too: what a build leaves running ends with it.
    """
    alone = ("--pid", "--fork", "--kill-child", "--mount-proc")
    root, other = ("unshare", "--net"), ("unshare", "--map-root-user", "--net")
    for words in ((*root, *alone), (*other, *alone), root, other):
        if process.find("unshare") and process.run([*words, "true"]).code == 0:
            return words
    progress.warn(
        "this machine cannot cut a build off from the network (unshare --net): builds are only told to stay offline"
    )
    return ()
