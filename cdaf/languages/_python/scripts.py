"""Console scripts, as the entry points specification describes them, with the image's own shebang."""

import configparser
import re

from cdaf.languages._python.values import VENV

PYTHON = f"{VENV}/bin/python"
_REFERENCE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<object>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_NAME = re.compile(r"[\w.-]+")
_TEMPLATE = """\
#!{python}
import sys

from {module} import {first}

if __name__ == "__main__":
    sys.exit({target}())
"""


class _Exact(configparser.ConfigParser):
    """A reader that leaves names as they are written."""

    def optionxform(self, optionstr: str) -> str:
        """The name itself."""
        return optionstr


def generate(entry_points: str) -> dict[str, bytes]:
    """The scripts that an `entry_points.txt` asks for, by name. Raises ValueError for one that cannot be written."""
    # No section stands for all: "\0" is none that a file can name.
    parser = _Exact(delimiters=("=",), interpolation=None, strict=False, default_section="\0")
    try:
        parser.read_string(entry_points)
    except configparser.Error as error:
        raise ValueError(f"entry_points.txt: {error}") from error
    groups = [parser[group] for group in ("console_scripts", "gui_scripts") if group in parser]
    return {name: _script(name, reference) for group in groups for name, reference in group.items()}


def _script(name: str, reference: str) -> bytes:
    found = _REFERENCE.fullmatch(reference.partition("[")[0].strip())
    if found is None or not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"entry_points.txt: {name} = {reference} is no script")
    target = found["object"]
    text = _TEMPLATE.format(python=PYTHON, module=found["module"], first=target.partition(".")[0], target=target)
    return text.encode()


def shebang(script: bytes) -> bytes | None:
    """A wheel's own script with the image's shebang, when it asks for one by `#!python`."""
    line, newline, rest = script.partition(b"\n")
    if not re.match(rb"#!pythonw?\b", line):
        return None
    arguments = re.sub(rb"^#!pythonw?", b"", line.rstrip(b"\r"))
    return b"#!" + PYTHON.encode() + arguments + newline + rest
