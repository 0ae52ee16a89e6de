"""The gateway as its users meet it, asked by the standard library alone: the image of the checks has nothing else."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

URL = os.environ["CDAF_SMOKE_URL"]
EXPECTED = {
    "/": (200, ["gone", "self"]),
    "/self/healthz": (200, "ok"),  # sent on without the name
    "/self/self/healthz": (200, "ok"),
    "/gone/anything": (502, "gone does not answer"),
    "/unknown": (404, "no such route"),
}


def ask(path: str) -> tuple[int, Any]:
    """The status and the answer."""
    try:
        with urllib.request.urlopen(URL + path, timeout=10) as answer:
            return answer.status, json.load(answer)["gateway"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["gateway"]


def main() -> int:
    """Ask for every path, and tell all answers that are not the expected ones."""
    wrong = 0
    for path, expected in EXPECTED.items():
        found = ask(path)
        print("ok  " if found == expected else "FAIL", path, found)
        wrong += found != expected
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
