"""The bill of materials: valid, the same every time, and of one mind with `show --files` about who owns what."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf.bundles import bundle, sbom, show
from cdaf.images import content, listing, plan
from cdaf.images.listing import folders
from cdaf.languages._python import edges, wheel
from cdaf.languages._python.values import Target
from cdaf.projects import pins
from tests import acceptance, bundlekit, makers, pykit
from tests.acceptance import cdaf

CONFIG = """\
[service]
start = ["svc"]
include = ["conf/**"]
state = ["/app/state"]
[image]
base = "scratch"
bytecode = false
[smoke]
group = "smoke"
checks = ["check"]
"""
MORE = 'dependencies = ["alone", "common[more]"]\n[dependency-groups]\nsmoke = ["checker"]'
FILES = {"conf/a.ini": "x", "src/shared/svc/__init__.py": "", "smoke/test_it.py": ""}
PLATFORM = "linux/amd64"


def demand_valid(text: str) -> None:
    # Imported here: the grammars that they read at once take seconds, in every process that only collects tests.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def metadata(name: str, *lines: str) -> str:
    return "\n".join([f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0", *lines, ""])


def stock(folder: Path) -> None:
    """What the index has: a namespace that the service has a part in too, an extra, a script, licences."""
    extra = ("Provides-Extra: more", 'Requires-Dist: deeper; extra == "more"', 'Requires-Dist: checker; extra == "no"')
    common = {"%/METADATA": metadata("common", "License-Expression: MIT OR Apache-2.0", *extra), "common/a.py": "1"}
    pykit.wheel(folder, "common", files=common, entry_points="[console_scripts]\ncommon = common:a\n")
    spread = {"%/METADATA": metadata("alone", "Classifier: License :: OSI Approved :: MIT License")}
    pykit.wheel(folder, "alone", files={**spread, "shared/alone/a.py": "2", "@/data/etc/alone.cfg": "3"})
    for name in ("deeper", "checker"):
        pykit.wheel(folder, name)


def project(root: Path, index: pykit.Index) -> Path:
    pykit.service(root, index, MORE, CONFIG, FILES)
    base = pins.Base(reference="scratch", platform=PLATFORM, digest="", facts=pykit.FACTS)
    pins.write(pins.Pins(bases=(base,), builds=(pins.Build(key="svc", declared=()),)), root / pins.NAME)
    pykit.commit(root)
    return root


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The project's folder and its bundle, and a cache that the tests share; the index stays up."""
    place = tmp_path_factory.mktemp("sbom")
    stock(place / "index")
    with pytest.MonkeyPatch.context() as patch, pykit.serving(place / "index") as index:
        patch.setenv("CDAF_CACHE", str(place / "cache"))
        root = project(place / "svc", index)
        yield root, Path(cdaf("package", root).stdout.strip())


def document(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cdaf("show", file, "--sbom").stdout)
    return found


def test_it_is_valid_and_says_what_is_in_the_image(packaged: tuple[Path, Path]) -> None:
    root, file = packaged
    text = cdaf("show", file, "--sbom").stdout
    assert text.encode() == bundle.data(bundle.open(file), "generated/sbom/linux-amd64.cdx.json")
    demand_valid(text)
    told = json.loads(text)
    known = {each["name"]: each for each in told["components"]}
    assert sorted(known) == ["alone", "common", "deeper"]  # the checks' own are in no image
    assert known["common"]["purl"] == known["common"]["bom-ref"] == "pkg:pypi/common@1.0"
    assert known["common"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert known["alone"]["licenses"] == [{"license": {"id": "MIT"}}]
    archive = (file.parent.parent.parent / "index" / "common-1.0-py3-none-any.whl").read_bytes()
    assert known["common"]["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(archive).hexdigest()}]
    assert known["common"]["externalReferences"][0]["url"].endswith("/files/common-1.0-py3-none-any.whl")
    service = told["metadata"]["component"]
    assert (service["name"], service["type"], service["purl"]) == ("svc", "application", "pkg:pypi/svc@1.4.0")
    assert service["version"] == "1.4.0"
    opened = bundle.open(file)
    assert opened.manifest.source.commit == makers.git(root, "rev-parse", "HEAD")
    # One document for every commit that changes no dependency: the referrer says which image it is for.
    changing = (opened.manifest.source.commit, opened.manifest.source.time, opened.manifest.images[0].digest)
    assert not [each for each in changing if each in text]


def test_the_graph_is_the_lock_s(packaged: tuple[Path, Path]) -> None:
    _, file = packaged
    told = {each["ref"]: each.get("dependsOn", []) for each in document(file)["dependencies"]}
    common, alone, deeper = (f"pkg:pypi/{name}@1.0" for name in ("common", "alone", "deeper"))
    assert told == {"service": [alone, common], common: [deeper], alone: [], deeper: []}


def test_nearest_location_and_show_agree_on_every_path(packaged: tuple[Path, Path]) -> None:
    _, file = packaged
    told = document(file)
    places: dict[str, str] = {}
    for each in [told["metadata"]["component"], *told["components"]]:
        for found in each["evidence"]["occurrences"]:
            assert places.setdefault(found["location"], each["bom-ref"]) == each["bom-ref"]
    rows = show.paths(bundle.open(file))[PLATFORM]
    assert len({row.path for row in rows}) == len(rows)
    owned = {row.path: row.owner for row in rows if row.kind != "dir"}
    assert _nearest_differ(told, owned) == []
    site = "/app/.venv/lib/python3.13/site-packages"
    assert owned[f"{site}/common-1.0.dist-info/INSTALLER"] == owned["/app/.venv/bin/common"] == "pkg:pypi/common@1.0"
    assert owned[f"{site}/shared/alone/a.py"] == owned["/app/.venv/etc/alone.cfg"] == "pkg:pypi/alone@1.0"
    assert owned[f"{site}/shared/svc/__init__.py"] == owned["/app/conf/a.ini"] == owned["/etc/passwd"] == "service"
    assert owned["/app/.venv/bin/python"] == "service"


@pytest.mark.slow
def test_the_same_bytes_whatever_the_machine(packaged: tuple[Path, Path], tmp_path: Path) -> None:
    root, file = packaged
    wanted = cdaf("show", file, "--sbom").stdout
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/Lima")):
        env = {"PYTHONHASHSEED": seed, "TZ": zone, "CDAF_CACHE": str(tmp_path / seed), "LC_ALL": "C"}
        again = cdaf("package", root, "--out", tmp_path / f"out{seed}", env=env).stdout.strip()
        assert cdaf("show", again, "--sbom").stdout == wanted


def test_a_changed_line_makes_no_other_document_and_does_not_load_the_library(
    packaged: tuple[Path, Path], tmp_path: Path
) -> None:
    before, file = packaged
    root = Path(shutil.copytree(before, tmp_path / "svc", ignore=shutil.ignore_patterns("dist")))
    makers.write(root, {"src/svc/__init__.py": "name = 'other'\n"})
    pykit.commit(root)
    program = (
        "import sys; from cdaf.cli import run;"
        f"assert run(['package', {str(root)!r}, '--out', {str(tmp_path)!r}]) == 0;"
        "assert not {'cyclonedx', 'license_expression'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert document(file) == document(Path(done.stdout.strip()))


@pytest.mark.docker
def test_the_example_s_image_is_described_whole(shared: Path) -> None:
    opened = bundle.open(acceptance.packaged("orders", shared))
    for platform, found in show.paths(opened).items():
        rows = [row for one in listing.decode(bundle.data(opened, bundle.listing_name(platform))) for row in one]
        held = {(f"/{row.path}", row.kind, f"{row.mode:04o}", row.uid, row.gid, row.target or None) for row in rows}
        assert {(each.path, each.kind, each.mode, each.uid, each.gid, each.target) for each in found} == held
        sizes = {f"/{row.path}": row.size for row in rows if row.kind == "file"}
        assert {each.path: each.size for each in found if each.kind == "file"} == sizes
        text = bundle.data(opened, sbom.name(platform)).decode()
        demand_valid(text)
        told = json.loads(text)
        made = [each for each in told["components"] if each["type"] == "library"]
        assert {each["bom-ref"] for each in made} | {"service"} == {each.owner for each in found}
        assert all(each["hashes"] and each["licenses"] and each["evidence"]["occurrences"] for each in made)
        assert _nearest_differ(told, {each.path: each.owner for each in found if each.kind != "dir"}) == []


def _nearest_differ(told: dict[str, Any], owned: dict[str, str]) -> list[str]:
    """The paths whose nearest location is another's."""
    components = [told["metadata"]["component"], *told["components"]]
    places = {
        found["location"]: each["bom-ref"]
        for each in components
        for found in each.get("evidence", {}).get("occurrences", ())
    }
    nearest = {path: next(place for place in (path, *folders(path)) if place in places) for path in owned}
    return [path for path, owner in owned.items() if places[nearest[path]] != owner]


def of(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """The document of a bundle with one dependency, of which some things are said."""
    archive = makers.archive(tmp_path / "flask.whl", {"flask/__init__.py": "x = 1\n"})
    [known] = bundlekit.manifest().dependencies
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    manifest = bundlekit.manifest(dependencies=(msgspec.structs.replace(known, sha256=digest, **changes),))
    sealed = bundle.seal(tmp_path, manifest, _plans(), {**bundlekit.CONTENT, known.archive: archive})
    from cdaf.images import building

    text = sbom.document(manifest, sealed.plans.images[0], building.contents(sealed))
    demand_valid(text.decode())
    found: dict[str, Any] = json.loads(text)
    return found


def _plans() -> plan.Plans:
    """The kit's plan with the archive in a layer of its own."""
    made = bundlekit.plans()
    [layer] = made.images[0].layers
    layers = (plan.Layer("flask", layer.entries[:1]), plan.Layer("service", layer.entries[1:]))
    return msgspec.structs.replace(made, images=(msgspec.structs.replace(made.images[0], layers=layers),))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "packaged" not in request.fixturenames:
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def test_a_service_that_needs_nothing(tmp_path: Path) -> None:
    made = bundlekit.plans().images[0]
    own = tuple(each for each in made.layers[0].entries if not isinstance(each, plan.Unpack))
    nothing = plan.BasePin("scratch", "")
    wanted = msgspec.structs.replace(made, base=nothing, layers=(plan.Layer("service", own),))
    text = sbom.document(bundlekit.manifest(), wanted, {"app/orders.py": content.of_bytes(b"")})
    demand_valid(text.decode())
    assert "components" not in json.loads(text)


def test_the_base_is_a_component_that_is_not_taken_apart(tmp_path: Path) -> None:
    told = of(tmp_path)
    base = next(each for each in told["components"] if each["type"] == "container")
    assert base["name"] == "docker.io/library/python"
    assert base["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert base["purl"].startswith(f"pkg:oci/python@sha256:{'b' * 64}?")
    assert {"aggregate": "unknown", "assemblies": ["base"]} in told["compositions"]

    assert {"ref": "service", "dependsOn": ["base", "pkg:pypi/flask@3.1.0"]} in told["dependencies"]


def test_upstream_s_hash_with_its_algorithm(tmp_path: Path) -> None:
    [flask] = [each for each in of(tmp_path, hash=f"sha512:{'a' * 128}")["components"] if each["name"] == "flask"]
    assert {"alg": "SHA-512", "content": "a" * 128} in flask["hashes"]
    assert len(flask["hashes"]) == 2


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (f"https://index.example/a-1.tar.gz#sha256={'c' * 64}", "source-distribution"),
        ("git+https://forge.example/a@" + "d" * 40, "vcs"),
        ("libs/a", None),
    ],
)
def test_where_something_built_came_from(tmp_path: Path, origin: str, kind: str | None) -> None:
    [flask] = [each for each in of(tmp_path, built_from=origin)["components"] if each["name"] == "flask"]
    found = flask.get("externalReferences", [])
    assert [each["type"] for each in found] == ([kind] if kind else [])
    if kind == "source-distribution":
        assert found[0]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ({"license-expression": ["MIT"], "license": ["other"]}, "MIT"),
        ({"license": ["BSD-3-Clause"]}, "BSD-3-Clause"),
        ({"license": ["Permission is hereby granted to whoever reads as far as this, " * 3]}, ""),
        ({"license": ["UNKNOWN"], "classifier": ["License :: OSI Approved :: ISC License (ISCL)"]}, "ISC"),
        (
            {
                "classifier": [
                    f"License :: OSI Approved :: {each}" for each in ("MIT License", "The Unlicense (Unlicense)")
                ]
            },
            "MIT OR Unlicense",
        ),
        ({"classifier": ["License :: OSI Approved", "License :: OSI Approved :: BSD License"]}, "BSD License"),
        ({}, ""),
    ],
)
def test_what_a_wheel_says_of_its_licence(headers: dict[str, list[str]], licence: str) -> None:
    assert wheel.license_of(headers) == licence


def test_edges_follow_markers_and_extras() -> None:
    target = Target(platform=PLATFORM, base=pykit.pinned(platforms=(PLATFORM,)).bases[0])
    lock = b"""\
[[package]]
name = "svc"
source = { editable = "." }
dependencies = [{ name = "a", extra = ["x"] }, { name = "w", marker = "sys_platform == 'win32'" }]
optional-dependencies = { own = [{ name = "c" }], never = [{ name = "d" }] }
[[package]]
name = "a"
optional-dependencies = { x = [{ name = "b" }], y = [{ name = "d" }] }
[[package]]
name = "b"
dependencies = [{ name = "a" }, { name = "odd", marker = "no marker at all" }]
"""
    assert edges.find(lock, (target,), ("own",)) == {"svc": ("a", "c"), "a": ("b",), "b": ("a", "odd")}


def test_which_platform_has_to_be_said_where_there_are_several(packaged: tuple[Path, Path]) -> None:
    _, file = packaged
    assert "has no image for linux/arm64" in cdaf("show", file, "--sbom", "--platform", "linux/arm64", expect=2).stderr
    assert "choose one" in cdaf("show", file, "--sbom", "--files", expect=2).stderr
    assert "is a folder: --sbom tells" in cdaf("show", file.parent, "--sbom", expect=2).stderr
