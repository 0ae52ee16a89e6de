"""The rules of the house that nobody has to remember: the wall, the doors, sizes, words."""

import ast
import functools
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdaf import languages, targets

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cdaf"
TOP = ("flow", "cli", "commands", "__main__")  # what stands above both sides
RELEASE_SIDE = (
    "atomic",
    "bundles",
    "engine",
    "images",
    "net",
    "record",
    "registries",
    "releasing",
    "reports",
    "store",
    "targets",
    "terminal",
    "testing",
    "toml",
    "versions",
)
BEYOND_THE_WALL = ("projects", "languages")
# Who alone may import what; a room's name stands for every module in it.
DOORS = {
    "subprocess": ("process",),
    "docker": ("engine",),
    "python_on_whales": ("engine",),
    "urllib3": ("net",),
    "http.client": ("net",),
    "urllib.request": ("net",),
    "requests": (),
    "rich": ("terminal.live",),
}
PRINTS = {"print", "click.echo", "click.secho"}
STARTS_PROGRAMS = {"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn", "fork"}


def modules() -> dict[str, Path]:
    """Dotted names below `cdaf.`, without that prefix, and their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


@functools.cache
def imported(name: str) -> frozenset[str]:
    """Every module that a module imports, at its top or inside a function, by full dotted name."""
    return frozenset(_imported(name))


def _imported(name: str) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                own = ["cdaf", *name.split(".")] if name else ["cdaf"]
                package = own if MODULES[name].name == "__init__.py" else own[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def own_imports(name: str) -> set[str]:
    found = {each.removeprefix("cdaf.") for each in imported(name) if each.startswith("cdaf.")}
    return {each for each in found if each in MODULES}


def belongs(name: str, to: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in to)


def reached(start: str) -> dict[str, str]:
    """Every module of ours that `start` reaches, and the module that imports it there."""
    seen: dict[str, str] = {}
    waiting = [start]
    while waiting:
        current = waiting.pop()
        for each in own_imports(current) - set(seen) - {start}:
            seen[each] = current
            waiting.append(each)
    return seen


def test_release_side_does_not_reach_over_the_wall() -> None:
    ways = [
        f"{name} reaches {found}, which {by} imports"
        for name in MODULES
        if belongs(name, RELEASE_SIDE)
        for found, by in reached(name).items()
        if belongs(found, BEYOND_THE_WALL)
    ]
    assert not ways


def test_nothing_imports_the_command_line() -> None:
    entries = ("cli", "commands", "__main__")
    below = [name for name in MODULES if not belongs(name, entries)]
    assert not {name: found for name in below for found in own_imports(name) if belongs(found, entries)}


@pytest.mark.parametrize("wanted", DOORS)
def test_one_door_to_each_outside_thing(wanted: str) -> None:
    users = {
        name for name in MODULES if any(found == wanted or found.startswith(f"{wanted}.") for found in imported(name))
    }
    strangers = {name for name in users if not belongs(name, DOORS[wanted])}
    assert not strangers, f"{wanted} is imported by {strangers}"


def test_only_the_console_writes_to_the_terminal() -> None:
    printing = [
        f"{name}:{node.lineno} {called}"
        for name in MODULES
        if name not in ("terminal.console", "terminal.live")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call)
        and ((called := ast.unparse(node.func)) in PRINTS or called.startswith(("sys.stdout.", "sys.stderr.")))
    ]
    assert not printing


def test_only_the_process_door_starts_programs() -> None:
    starting = [
        f"{name}:{node.lineno} os.{node.attr}"
        for name in MODULES
        if name != "process"
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" and node.attr in STARTS_PROGRAMS
    ]
    assert not starting


def test_only_one_module_decodes_by_types() -> None:
    decoding = [
        f"{name}:{node.lineno}"
        for name in MODULES
        if name != "typed"
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call)
        and (
            (called := ast.unparse(node.func)) in ("msgspec.convert", "msgspec.json.Decoder")
            or (called == "msgspec.json.decode" and len(node.args) + len(node.keywords) > 1)
        )
    ]
    assert not decoding


def test_flow_fits_on_a_screen() -> None:
    functions = [node for node in tree("flow").body if isinstance(node, ast.FunctionDef)]
    assert {"package", "release"} <= {each.name for each in functions}
    for each in functions:
        assert (each.end_lineno or 0) - each.lineno < 50, f"flow.{each.name} is longer than a screen"
    assert len(MODULES["flow"].read_text().splitlines()) <= 150


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in MODULES if not ast.get_docstring(tree(name))]
    bare += [
        f"{name}:{node.lineno} {node.name}"
        for name in MODULES
        for node in _public(tree(name))
        if not ast.get_docstring(node)
    ]
    assert not bare


def _public(
    tree: ast.Module | ast.ClassDef,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def test_files_and_functions_stay_small() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    large = {name: size for name, size in sizes.items() if size > 320}
    assert not large
    assert statistics.median(sizes.values()) <= 200
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for name in MODULES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef)
    ]
    assert statistics.median(functions) <= 12


def test_help_imports_nothing_heavy() -> None:
    third = {"rich", "msgspec", "docker", "python_on_whales", "urllib3", "packaging", "pydantic", "yaml", "tomli_w"}
    heavy = sorted(third | {"importlib.metadata", "asyncio", "email", "http.client", "json", "build", "filelock"})
    program = (
        "import sys; from cdaf.cli import run; run(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "cdaf package" in done.stdout


def test_commands_import_their_work_only_when_called() -> None:
    light = {
        "click",
        "cdaf.terminal.console",
        "cdaf.terminal.options",
        "cdaf.progress",
        "pathlib",
        "typing",
        "collections.abc",
    }
    heavy = [
        f"{name} imports {found}"
        for name in MODULES
        if belongs(name, ("commands",))
        for node in tree(name).body
        if isinstance(node, ast.ImportFrom)
        for found in _modules(node)
        if found not in light
    ]
    assert not heavy


def _modules(node: ast.ImportFrom) -> list[str]:
    """What an import of ours names, module by module; of others, the module alone."""
    named = [f"{node.module}.{each.name}" for each in node.names]
    return [each for each in named if each.removeprefix("cdaf.") in MODULES] or [node.module or ""]


@pytest.mark.parametrize("seam", [languages, targets])
def test_a_seam_lists_exactly_the_modules_in_its_folder(seam: object) -> None:
    place = Path(str(seam.__file__)).parent  # type: ignore[attr-defined]
    listed = set(seam.MODULES.values())  # type: ignore[attr-defined]
    files = {f"cdaf.{place.name}.{path.stem}" for path in place.glob("*.py") if not path.stem.startswith("_")}
    assert listed == files


# Written apart, so that this file does not hold what it looks for.
MACHINE = ["/" + "root/", "/" + "work/", "/" + "home/", "." + "library", "mirror" + ".h-"]
HOSTS_BY_HAND = ["pypi" + ".org", "files.python" + "hosted.org", "deb." + "debian.org"]


def _texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    for path in tracked():
        if path.suffix in suffixes and path.name != "uv.lock":
            yield path, path.read_text(encoding="utf-8")


def test_nothing_speaks_of_one_machine() -> None:
    for path, text in _texts(".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".svg", ".txt", ".cfg"):
        found = [word for word in MACHINE if word in text]
        assert not found, f"{path.relative_to(ROOT)} speaks of {found}"


def test_no_registry_or_mirror_is_written_by_hand() -> None:
    for path, text in _texts(".py", ".toml", ".yaml", ".sh"):
        found = [host for host in HOSTS_BY_HAND if re.search(rf"\b{re.escape(host)}\b", text)]
        assert not found, f"{path.relative_to(ROOT)} names {found}"


def test_code_has_no_notes_to_ourselves() -> None:
    for path, text in _texts(".py"):
        found = re.search(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b", text)
        assert not found, f"{path.relative_to(ROOT)}: {found.group() if found else ''}"
