"""Install scripts: who needs one, which run, and what of their work enters the image."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdaf import engine, progress
from cdaf.bases import facts
from cdaf.errors import ProjectError, ResolveError
from cdaf.projects import pins, project
from tests import makers, nodekit
from tests.nodekit import Registry

ELF = b"\x7fELF"
ONE = nodekit.CONFIG.replace(', "linux/arm64"', "")
ADDON = """
#include <node_api.h>
static napi_value answer(napi_env env, napi_callback_info info) {
  napi_value made;
  napi_create_int32(env, 42, &made);
  return made;
}
NAPI_MODULE_INIT() {
  napi_value made;
  napi_create_function(env, "answer", NAPI_AUTO_LENGTH, answer, 0, &made);
  return made;
}
"""
GYP = {"binding.gyp": json.dumps({"targets": [{"target_name": "addon", "sources": ["addon.c"]}]}), "addon.c": ADDON}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with nodekit.serving() as found:
        monkeypatch.setenv("npm_config_registry", found.url)
        yield found


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(progress, "warn", lambda text: None if "the smoke test" in text else found.append(text))
    return found


def service(
    tmp_path: Path, registry: Registry, names: list[str], node: str = "", config: str = nodekit.CONFIG, **more: Any
) -> project.Project:
    told = {"dependencies": dict.fromkeys(names, "1"), **more}
    return nodekit.service(tmp_path / "svc", registry, told, config=config + (f"[node]\n{node}\n" if node else ""))


def elf(machine: int, needs: str = "") -> bytes:
    """The least that a shared library of 64 bits is (gABI, chapters 4 and 5); for musl it needs that libc by name."""
    words = struct.pack("<16sHHIQQQIHHHHHH", ELF + bytes([2, 1, 1]), 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    names = b"\0libc.musl-x86_64.so.1\0" if needs else b"\0libc.so.6\0"
    tags = [(1, 1), (5, 64 + 112), (10, len(names)), (0, 0)]
    start = 64 + 112 + len(names)
    size = start + 16 * len(tags)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 8)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, start, start, start, 16 * len(tags), 16 * len(tags), 8)
    return words + load + dynamic + names + b"".join(struct.pack("<QQ", *tag) for tag in tags)


def test_a_build_that_nobody_asked_for_is_named_with_the_way_out(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "gyp"}, GYP)
    registry.add({"name": "fetching", "scripts": {"install": "prebuild-install || node-gyp rebuild --release"}})
    found = service(tmp_path, registry, ["gyp", "fetching"])
    with pytest.raises(ResolveError) as told:
        nodekit.through(found)
    assert "gyp 1.0.0 (install: node-gyp rebuild) brings no build for linux/amd64 and linux/arm64" in told.value.message
    assert "fetching 1.0.0 (install: prebuild-install || node-gyp rebuild --release)" in told.value.message
    assert "`scripts` below [node]" in told.value.hint
    found = service(tmp_path, registry, ["gyp", "fetching"], 'ignored = ["gyp", "fetching"]')
    assert nodekit.through(found)[1].plans.images


def test_what_others_get_by_without_is_only_told_of(tmp_path: Path, registry: Registry, warned: list[str]) -> None:
    registry.add({"name": "gyp"}, GYP)
    nodekit.through(service(tmp_path, registry, [], optionalDependencies={"gyp": "1"}))
    assert len(warned) == 1
    assert "gyp 1.0.0: its install script does not run" in warned[0]


def test_other_scripts_are_only_told_of(tmp_path: Path, registry: Registry, warned: list[str]) -> None:
    registry.add({"name": "thanks", "scripts": {"postinstall": "node thanks.js"}}, {"thanks.js": ""})
    registry.add({"name": "tests", "scripts": {"test": "x", "prepare": "y"}})
    found = service(tmp_path, registry, ["thanks", "tests"])
    nodekit.through(found)
    assert len(warned) == 1
    assert "thanks 1.0.0: its install script does not run (postinstall: node thanks.js)" in warned[0]
    nodekit.through(service(tmp_path, registry, ["thanks", "tests"], 'ignored = ["thanks"]'))
    assert len(warned) == 1


def test_a_prebuilt_binary_does_without_its_script(tmp_path: Path, registry: Registry, warned: list[str]) -> None:
    x64, arm = elf(62), elf(183)
    inside = {
        "prebuilds/linux-x64/a.node": x64,
        "prebuilds/linux-arm64/a.node": arm,
        "prebuilds/darwin-x64/a.node": b"\xcf",
    }
    registry.add({"name": "inside", "scripts": {"install": "node-gyp-build"}}, {**inside, **GYP})
    for cpu, data in (("x64", x64), ("arm64", arm)):
        registry.add({"name": f"beside-linux-{cpu}", "os": ["linux"], "cpu": [cpu]}, {"b.node": data})
    needs = {"beside-linux-x64": "1", "beside-linux-arm64": "1"}
    registry.add({"name": "beside", "optionalDependencies": needs, "scripts": {"postinstall": "node check.js"}})
    nodekit.through(service(tmp_path, registry, ["inside", "beside"]))
    assert not warned
    del inside["prebuilds/linux-arm64/a.node"]
    registry.add({"name": "inside", "scripts": {"install": "node-gyp-build"}}, {**inside, **GYP})
    (tmp_path / "svc" / "package-lock.json").unlink()
    with pytest.raises(ResolveError, match=r"inside 1\.0\.0 \(.*\) brings no build for linux/arm64") as told:
        nodekit.through(service(tmp_path, registry, ["inside", "beside"]))
    assert "linux/amd64" not in told.value.message


def test_names_that_nothing_has(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "plain"})
    found = service(tmp_path, registry, ["plain"], 'scripts = ["plain", "absent"]\nignored = ["gone"]')
    with pytest.raises(ProjectError) as told:
        nodekit.through(found)
    for said in (
        "node.scripts: 'absent' is no package",
        "node.ignored: 'gone' is no package",
        "'plain' has no install script",
    ):
        assert said in told.value.message


def real(platforms: tuple[str, ...] = ("linux/amd64",), build: str = "") -> pins.Pins:
    """Pins of the images that are there, by their true digests."""
    references = [nodekit.BASE, *([build] if build else [])]
    return pins.Pins(bases=tuple(facts.read_base(ref, each, "node") for ref in references for each in platforms))


@pytest.mark.docker
def test_named_scripts_run_without_network_and_leave_their_work(tmp_path: Path, registry: Registry) -> None:
    script = "require('fs').writeFileSync('made.txt', process.env.npm_lifecycle_event + require('plain').word);"
    script += "require('fs').unlinkSync('gone.txt'); require('fs').appendFileSync('index.js', '// changed');"
    script += "require('fs').mkdirSync('bin', { recursive: true });"
    script += "require('fs').writeFileSync('bin/run', '#!/bin/sh\\n', { mode: 0o755 });"
    script += "require('fs').writeFileSync('../plain/touched', '');"
    script += "if (Object.keys(require('os').networkInterfaces()).some((each) => each !== 'lo')) process.exit(3);"
    registry.add(
        {"name": "plain", "bin": "p.js"}, {"index.js": "exports.word = 'word'", "p.js": "#!/usr/bin/env node\n"}
    )
    registry.add(
        {
            "name": "maker",
            "scripts": {"postinstall": "plain && node make.js"},
            "dependencies": {"plain": "1"},
        },
        {"make.js": script, "index.js": "", "gone.txt": ""},
    )
    found = service(tmp_path, registry, ["maker", "plain"], 'scripts = ["maker"]', ONE)
    collection, planned = nodekit.through(found, real())
    nodekit.spread(found, collection, planned, tmp_path / "image")
    top = tmp_path / "image/app/node_modules"
    assert (top / "maker/made.txt").read_text() == "postinstallword"
    assert (top / "maker/index.js").read_text() == "// changed"
    assert (top / "maker/bin/run").stat().st_mode & 0o111
    assert not (top / "maker/gone.txt").exists()
    assert not (top / "plain/touched").exists()
    assert "plain && node make.js" not in repr(planned.generated)


@pytest.mark.docker
def test_a_native_addon_is_built_in_the_build_image(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "addon"}, {**GYP, "index.js": "module.exports = require('./build/Release/addon.node')"})
    config = ONE + '[build]\nimage = "node:22"\n'
    found = service(tmp_path, registry, ["addon"], 'scripts = ["addon"]', config)
    collection, planned = nodekit.through(found, real(build="node:22"))
    laid = nodekit.laid(found, collection, planned)
    built = [path for path in laid if "/addon/build/" in path]
    assert built == ["/app/node_modules/addon/build/Release/addon.node"]
    nodekit.spread(found, collection, planned, tmp_path / "image")
    said = nodekit.run(nodekit.programs() / "node", "-p", "require('addon')()", cwd=tmp_path / "image/app")
    assert said == "42\n"
    # From the same inputs nothing is built again, and where it has to be it comes out the same.
    again = nodekit.laid(found, *nodekit.through(found, real(build="node:22")))
    assert again == laid


@pytest.mark.docker
def test_a_script_that_fails_tells_what_it_said(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "bad", "scripts": {"install": "echo such a pity; exit 7"}})
    found = service(tmp_path, registry, ["bad"], 'scripts = ["bad"]', ONE)
    with pytest.raises(ResolveError, match=r"an install script of bad 1\.0\.0 failed") as told:
        nodekit.through(found, real())
    assert "such a pity" in told.value.output
    assert "ended with 7" in told.value.output
    assert "build.image" in told.value.hint


@pytest.mark.docker
def test_a_script_for_a_platform_that_does_not_run_here(tmp_path: Path, registry: Registry) -> None:
    foreign = next(each for each in nodekit.BOTH if each != engine.native())
    registry.add({"name": "made", "scripts": {"install": "true"}})
    config = nodekit.CONFIG.replace('"linux/amd64", "linux/arm64"', f'"{foreign}"')
    found = service(tmp_path, registry, ["made"], 'scripts = ["made"]', config)
    if engine.facts().runs(foreign):
        assert nodekit.through(found, real((foreign,)))[1].plans.images
        return
    with pytest.raises(ResolveError, match=f"have to run on {foreign}, which does not run here") as told:
        nodekit.through(found, real((foreign,)))
    assert "leave the platform out" in told.value.hint


def test_native_files_have_to_fit_the_base(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "odd", "cpu": ["x64", "arm64"]}, {"odd.node": elf(62)})
    found = service(tmp_path, registry, ["odd"])
    with pytest.raises(ResolveError, match=r"linux/arm64: odd 1\.0\.0: odd/odd.node is for amd64"):
        nodekit.through(found)
    config = nodekit.CONFIG.replace("[image]\n", '[image]\nunaudited = ["odd/*.node"]\n')
    assert nodekit.through(service(tmp_path, registry, ["odd"], config=config))[1].plans.images


def test_locks_that_do_not_tell_libc_bring_both_builds_and_one_fits(tmp_path: Path, registry: Registry) -> None:
    """Locks of npm before 11 have no `libc`; npm then installs both builds, and the package picks one."""
    musl = elf(62, "musl")
    registry.add({"name": "fast", "optionalDependencies": {"fast-gnu": "1", "fast-musl": "1"}})
    registry.add({"name": "fast-gnu", "os": ["linux"], "cpu": ["x64"]}, {"fast.node": elf(62)})
    registry.add({"name": "fast-musl", "os": ["linux"], "cpu": ["x64"]}, {"fast-musl.node": musl})
    found = service(tmp_path, registry, ["fast"], config=ONE)
    laid = nodekit.laid(found, *nodekit.through(found))
    assert "/app/node_modules/fast-musl/fast-musl.node" in laid
    (tmp_path / "svc" / "package-lock.json").unlink()
    with pytest.raises(ResolveError, match="built for musl"):
        nodekit.through(service(tmp_path, registry, ["fast-musl"], config=ONE))


def test_checks_on_a_base_of_their_own_have_everything(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "one"})
    config = nodekit.CONFIG + '[smoke]\nimage = "node:22"\nchecks = ["node", "x"]\n'
    found = service(tmp_path, registry, ["one"], config=config)
    own, other = nodekit.pinned(), nodekit.pinned(reference="node:22")
    _, planned = nodekit.through(found, pins.Pins(bases=(*own.bases, *other.bases)))
    smoke = planned.plans.smoke[0]
    assert smoke.base is not None
    assert smoke.base.reference == "node:22"
    paths = {getattr(each, "path", getattr(each, "prefix", "")) for layer in smoke.layers for each in layer.entries}
    assert paths >= {"/app/node_modules/one", "/app/package.json"}


def test_native_files_of_checks_have_to_fit_their_base(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "one"})
    registry.add({"name": "odd", "cpu": ["x64", "arm64"]}, {"odd.node": elf(62)})
    wrong = r"linux/arm64, checks: odd 1\.0\.0: odd/odd.node is for amd64"
    for number, where in enumerate(("", 'image = "node:22"\n')):
        config = f'{nodekit.CONFIG}[smoke]\nchecks = ["x"]\ngroup = "dev"\n{where}'
        folder = tmp_path / str(number)
        found = service(folder, registry, ["one"], config=config, devDependencies={"odd": "1"})
        both = pins.Pins(bases=(*nodekit.pinned().bases, *nodekit.pinned(reference="node:22").bases))
        with pytest.raises(ResolveError, match=wrong):
            nodekit.through(found, both)
        config = config.replace("[image]\n", '[image]\nunaudited = ["odd/*.node"]\n')
        found = service(folder, registry, ["one"], config=config, devDependencies={"odd": "1"})
        assert nodekit.through(found, both)[1].plans.smoke


def test_files_are_left_out_by_patterns(tmp_path: Path, registry: Registry, warned: list[str]) -> None:
    registry.add({"name": "one", "bin": "cli.js"}, {"index.js": "", "README.md": "", "docs/a.txt": "", "cli.js": ""})
    config = nodekit.CONFIG.replace(
        "[image]\n", '[image]\nexclude = ["**/*.md", "one/docs", "one/cli.js", "no/thing"]\n'
    )
    found = service(tmp_path, registry, ["one"], config=config)
    laid = nodekit.laid(found, *nodekit.through(found))
    assert {path for path in laid if "/node_modules/" in path} == {
        "/app/node_modules/one/index.js",
        "/app/node_modules/one/package.json",
    }
    assert [each for each in warned if "'no/thing' matches no file" in each]
    makers.write(found.root, {"cdaf.toml": config.replace('"no/thing"', '"one/*.json"')})
    makers.commit(found.root)
    with pytest.raises(ProjectError, match=r"would leave out the package.json of one 1\.0\.0"):
        nodekit.through(project.read(found.root))


def test_checks_may_have_development_dependencies(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "one"})
    registry.add({"name": "tester", "bin": "t.js", "dependencies": {"one": "1"}}, {"t.js": ""})
    config = nodekit.CONFIG + '[smoke]\nchecks = ["tester"]\ngroup = "dev"\n'
    found = service(tmp_path, registry, ["one"], config=config, devDependencies={"tester": "1"})
    collection, planned = nodekit.through(found)
    assert {each.dependency.name: each.dependency.group for each in collection.archives} == {
        "one": "main",
        "tester": "smoke",
    }
    entries = [entry for layer in planned.plans.smoke[0].layers for entry in layer.entries]
    paths = {getattr(each, "path", getattr(each, "prefix", "")) for each in entries}
    assert paths >= {"/app/node_modules/tester", "/app/node_modules/.bin/tester"}
    assert "/app/node_modules/one" not in paths
    assert not any("tester" in path for path in nodekit.laid(found, collection, planned))
