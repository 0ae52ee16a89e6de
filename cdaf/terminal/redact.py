"""Keeping secrets out of everything that is shown or saved: the last line of defence, behind every stage's own."""

import os
import re
from collections.abc import Mapping

# Compiled when first used: `--help` imports this too.
_USERINFO = r"(?<=://)[^/\s@'\"]+@"
_TELLING = r"(?i)(TOKEN|PASSW|SECRET|CREDENTIAL|API_?KEY|PRIVATE_?KEY)(?!.*_(FILE|PATH|DIR)$)"
_SHORTEST = 8


def text(shown: str, environ: Mapping[str, str] = os.environ) -> str:
    """The text without user names and passwords in URLs, and without values of variables whose name tells a secret."""
    shown = re.sub(_USERINFO, "***@", shown)
    values = {value for name, value in environ.items() if re.search(_TELLING, name) and _blankable(value)}
    for value in sorted(values, key=len, reverse=True):
        shown = shown.replace(value, "***")
    return shown


def _blankable(value: str) -> bool:
    """Whether a value can be blanked out: a plain word ("postgres") would take half of the output with it."""
    return len(value) >= _SHORTEST and not (value.isalpha() and value.islower())
