"""The rules of the house that nobody has to remember: the wall, the doors, sizes, words."""

import ast
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
    "bundle",
    "content",
    "console",
    "credentials",
    "diff",
    "engine",
    "http",
    "image",
    "layer",
    "manifest",
    "oci",
    "plan",
    "record",
    "reference",
    "registry",
    "releasing",
    "report",
    "show",
    "smoke",
    "stack",
    "store",
    "targets",
    "versions",
)
BEYOND_THE_WALL = ("project", "languages", "locking", "sealing", "starter")
# Who alone may import what; `engine` stands for engine.py and for every module below or named engine_….
DOORS = {
    "subprocess": ("process",),
    "docker": ("engine",),
    "python_on_whales": ("engine",),
    "urllib3": ("http",),
    "http.client": ("http",),
    "urllib.request": ("http",),
    "requests": (),
    "rich": ("live",),
}
STARTS_PROGRAMS = {"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn", "fork"}


def modules() -> dict[str, Path]:
    """Dotted names below `cdaf.`, without that prefix, and their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def imported(name: str) -> Iterator[str]:
    """Every module that a module imports, at its top or inside a function, by full dotted name."""
    for node in ast.walk(TREES[name]):
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


def own_imports(name: str) -> set[str]:
    found = {each.removeprefix("cdaf.") for each in imported(name) if each.startswith("cdaf.")}
    return {each for each in found if each in MODULES}


def belongs(name: str, to: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith((f"{each}.", f"{each}_")) for each in to)


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


@pytest.mark.parametrize("name", [name for name in MODULES if belongs(name, RELEASE_SIDE)])
def test_release_side_does_not_reach_over_the_wall(name: str) -> None:
    over = {found: by for found, by in reached(name).items() if belongs(found, BEYOND_THE_WALL)}
    assert not over, f"{name} reaches over the wall: {over}"


@pytest.mark.parametrize("name", [name for name in MODULES if not belongs(name, TOP)])
def test_nothing_imports_the_command_line(name: str) -> None:
    assert not [found for found in own_imports(name) if belongs(found, ("cli", "commands", "__main__"))]


@pytest.mark.parametrize("wanted", DOORS)
def test_one_door_to_each_outside_thing(wanted: str) -> None:
    users = {
        name for name in MODULES if any(found == wanted or found.startswith(f"{wanted}.") for found in imported(name))
    }
    strangers = {name for name in users if not belongs(name, DOORS[wanted])}
    assert not strangers, f"{wanted} is imported by {strangers}"


@pytest.mark.parametrize("name", MODULES)
def test_only_the_console_writes_to_the_terminal(name: str) -> None:
    if name in ("console", "live"):
        return
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{name}:{node.lineno} prints"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called not in ("click.echo", "click.secho"), f"{name}:{node.lineno} calls {called}"
            if called.startswith(("sys.stdout.", "sys.stderr.")):
                assert called.endswith((".flush", ".fileno")), f"{name}:{node.lineno} calls {called}"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "process"])
def test_only_the_process_door_starts_programs(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in STARTS_PROGRAMS, f"{name}:{node.lineno} starts a program by os.{node.attr}"


def test_flow_fits_on_a_screen() -> None:
    functions = [node for node in TREES["flow"].body if isinstance(node, ast.FunctionDef)]
    assert {"package", "release"} <= {each.name for each in functions}
    for each in functions:
        assert (each.end_lineno or 0) - each.lineno < 50, f"flow.{each.name} is longer than a screen"
    assert len(MODULES["flow"].read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    tree = TREES[name]
    assert ast.get_docstring(tree), f"{name} has no docstring"
    for node in _public(tree):
        assert ast.get_docstring(node), f"{name}:{node.lineno} {node.name} has no docstring"


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
        for tree in TREES.values()
        for node in ast.walk(tree)
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


@pytest.mark.parametrize("name", [name for name in MODULES if belongs(name, ("commands",)) and name != "commands"])
def test_commands_import_their_work_only_when_called(name: str) -> None:
    allowed = {"click", "cdaf.console", "cdaf.options", "cdaf.progress", "cdaf.errors", "pathlib"}
    for node in TREES[name].body:
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{each.name}" for each in node.names} if node.module == "cdaf" else {node.module}
            assert names <= allowed, f"{name}:{node.lineno} imports {names} for --help too"


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
