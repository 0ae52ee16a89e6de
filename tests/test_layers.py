"""The replay of locks: what is read from a repository's history, and the bytes counted."""

from pathlib import Path

from benchmarks import layers, locks
from benchmarks.locks import Package
from tests import pykit

HOST = "https://files.example.org"


def row(name: str, version: str, size: int, *tags: str, depends: str = "") -> str:
    """A package of a uv.lock with a wheel for each tag."""
    wheels = "".join(
        f'  {{ url = "{HOST}/{name}-{version}-{tag}.whl", hash = "sha256:{name}{version}{tag}", '
        f"size = {size + number} }},\n"
        for number, tag in enumerate(tags)
    )
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "{HOST}" }}\n'
        f"dependencies = [{depends}]\nwheels = [\n{wheels}]\n"
    )


OWN = (
    'version = 1\n[[package]]\nname = "svc"\nsource = {{ editable = "." }}\ndependencies = [{}]\n'
    '[package.dev-dependencies]\ndev = [{{ name = "tester" }}]\n'
)
LINUX, MAC = "cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-macosx_11_0_arm64"


def test_the_packages_of_an_image_are_told_from_a_lock(tmp_path: Path) -> None:
    wanted = '{ name = "native" }, { name = "mac", marker = "sys_platform == \'darwin\'" }'
    lock = OWN.format(wanted)
    lock += row(
        "native",
        "1.0",
        500,
        MAC,
        "cp313-cp313t-manylinux_2_28_x86_64",
        LINUX,
        "py3-none-any",
        depends='{ name = "pure" }',
    )
    lock += row("pure", "2.0", 40, "py3-none-any") + row("tester", "1.0", 9, "py3-none-any") + row("mac", "1", 9, MAC)
    (tmp_path / "uv.lock").write_text(lock)
    pykit.commit(tmp_path)
    (tmp_path / "uv.lock").write_text("<<<<<<< HEAD\n")
    pykit.commit(tmp_path)
    (tmp_path / "uv.lock").write_text(lock.replace("tester2.0", "other"))
    pykit.commit(tmp_path)
    (tmp_path / "uv.lock").write_text(
        lock.replace('"pure"\nversion = "2.0"', '"pure"\nversion = "2.1"').replace("pure2.0", "pure2.1")
    )
    pykit.commit(tmp_path)
    native = Package("native", f"sha256:native1.0{LINUX}", 502)
    assert locks.history(tmp_path, "uv.lock") == [
        (native, Package("pure", "sha256:pure2.0py3-none-any", 40)),
        (native, Package("pure", "sha256:pure2.1py3-none-any", 40)),
    ]


def test_bytes_are_those_of_layers_that_are_not_just_as_they_were() -> None:
    large, small = Package("large", "l1", 5_000_000), Package("small", "s1", 1000)
    other, newer = Package("other", "o1", 2000), Package("small", "s2", 1500)
    history = [(large, small, other), (large, newer, other), (large, other), (large, other, small)]
    assert layers.replay(history, layers.together) == layers.Moved(3 * 5_000_000 + 3500 + 2000 + 3000, 2500, 1)
    assert layers.replay(history, layers.chosen) == layers.Moved(3500 + 2000 + 3000, 2500, 2)
    assert layers.replay(history, lambda sizes: {name: name for name in sizes}) == layers.Moved(2500, 2500, 3)


def test_every_plan_places_every_package_and_the_table_holds_each(tmp_path: Path) -> None:
    names = {f"p{number}": number * number * 9000 for number in range(1, 60)}
    for plan in layers.PLANS.values():
        assert plan(names).keys() == names.keys()
        assert len(set(plan(names).values())) <= 10
        assert plan({}) == {}
    history = [tuple(Package(name, name, size) for name, size in names.items())]
    history.append((*history[0][1:], Package("p1", "2", 9000)))
    written = layers.table({"one": history, "unchanged": history[:1]}).splitlines()
    assert len(written) == 2 + 1 + 3
    assert written[2].startswith("| 1 | 59 | ")
