"""A base's facts, from layers made here and from a real base image; nothing is run."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from cdaf import store
from cdaf.bases import facts, rootfs, versions
from cdaf.bases.rootfs import Blob
from cdaf.errors import ResolveError
from cdaf.images import oci
from cdaf.projects.pins import Facts
from tests import elves, images
from tests.images import Members, entry, link

PYTHON = b"\x7fELF\0junk\x003.13.5\x00more\x003.12.1\x00"
GLIBC = b"\0GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\n\0"
PASSWD, GROUP = "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n"
BASE: Mapping[str, bytes | tarfile.TarInfo] = {
    "lib": link("usr/lib"),
    "./etc/passwd": PASSWD.encode(),
    "etc/group": GROUP.encode(),
    "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
    "usr/lib/x86_64-linux-gnu/libz.so.1": link("libz.so.1.3.1"),
    "usr/lib/x86_64-linux-gnu/libz.so.1.3.1": b"",
    "usr/lib/x86_64-linux-gnu/libgone.so.1": link("nowhere"),
    "usr/lib/x86_64-linux-gnu/libbuild.so": link("libz.so.1"),
    "usr/lib/i386-linux-gnu/libother.so.1": b"",
    "usr/lib64/ld-linux-x86-64.so.2": b"",
    "usr/bin/python3": link("python3.13"),
    "usr/bin/python3.13": PYTHON,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def blobs(*layers: Members) -> list[Blob]:
    made = [images.layer(layer)[0] for layer in layers]
    return [Blob(each.path, each.media_type) for each in made if each.path]


def gather(*layers: Members, platform: str = "linux/amd64", **environment: str) -> Facts:
    return facts.gather(blobs(*layers), environment, platform, "python3", "the base")


def test_the_facts_of_a_debian_like_base() -> None:
    assert gather(BASE) == Facts(
        interpreter="/usr/bin/python3.13",
        interpreter_version="3.13.5",
        libc="glibc",
        libc_version="2.41",
        libraries=("ld-linux-x86-64.so.2", "libc.so.6", "libz.so.1"),
        passwd=PASSWD,
        group=GROUP,
    )


def test_a_python_of_its_own_goes_before_the_distributions_as_on_path() -> None:
    own: Members = {
        "usr/local/bin/python3": link("python3.14"),
        "usr/local/bin/python3.14": b"\0",
        "usr/local/lib/libpython3.14.so.1.0": b"\x003.14.0rc2\x00",
        "usr/local/include/python3.14/patchlevel.h": b'#define PY_VERSION      \t"3.14.0rc2"\n',
    }
    found = gather(BASE, own)
    assert (found.interpreter, found.interpreter_version) == ("/usr/local/bin/python3.14", "3.14.0rc2")
    assert gather(BASE, own, PATH="/usr/bin:/usr/local/bin").interpreter == "/usr/bin/python3.13"


def test_files_that_contradict_each_other_are_said() -> None:
    status = b"Package: libpython3.13-minimal\nStatus: install ok installed\nVersion: 3.13.4-1+b2\n\n"
    with pytest.raises(
        ResolveError, match=r"contradict each other on /usr/bin/python3.13: program 3.13.5, dpkg 3.13.4"
    ):
        gather(BASE, {"var/lib/dpkg/status": status})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("var/lib/dpkg/status", "Package: python3.13-minimal\nVersion: 3.13.2-1\nStatus: install ok installed\n"),
        ("var/lib/dpkg/status.d/python3", "Package: python3.13-minimal\nVersion: 1:3.13.2-1+deb13u1\n"),
        ("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\n\nP:python3\nV:3.13.2-r0\n\n"),
    ],
)
def test_a_silent_binary_is_told_by_its_package(name: str, content: str) -> None:
    silent = {**BASE, "usr/bin/python3.13": b"stripped", name: content.encode()}
    assert gather(silent).interpreter_version == "3.13.2"


def test_the_images_own_word_is_the_last_resort() -> None:
    silent = {**BASE, "usr/bin/python3.13": b"stripped"}
    assert gather(silent, PYTHON_VERSION="3.13.9").interpreter_version == "3.13.9"
    with pytest.raises(ResolveError, match="cannot be told"):
        gather(silent, PYTHON_VERSION="3.12.9")


def test_musl() -> None:
    alpine: Members = {
        "lib/ld-musl-x86_64.so.1": b"\x001.2.5\x00",
        "lib/libc.musl-x86_64.so.1": link("ld-musl-x86_64.so.1"),
        "usr/bin/python3": link("python3.12"),
        "usr/bin/python3.12": b"/lib/ld-musl-x86_64.so.1\0",
        "usr/lib/libpython3.12.so.1.0": b"\x003.12.7\x00",
    }
    found = gather(alpine)
    assert (found.libc, found.libc_version, found.interpreter_version) == ("musl", "1.2.5", "3.12.7")
    packaged = {**alpine, "lib/apk/db/installed": b"P:musl\nV:1.2.6_git20250101-r3\n"}
    assert gather(packaged).libc_version == "1.2.6_git20250101"


def test_a_libc_without_a_version_is_said() -> None:
    with pytest.raises(ResolveError, match="the version of the base's libc"):
        gather({**BASE, "usr/lib/x86_64-linux-gnu/libc.so.6": b"silent"})


def test_a_base_with_nothing_in_it() -> None:
    assert gather({}) == Facts()
    found = facts.read_base("scratch", "linux/amd64", "python3")
    assert (found.digest, found.facts) == ("", Facts())


def test_another_platforms_libraries_are_its_own() -> None:
    arm = {"usr/lib/aarch64-linux-gnu/libc.so.6": GLIBC, "usr/lib/x86_64-linux-gnu/libx.so.1": b""}
    assert gather(arm, platform="linux/arm64/v8").libraries == ("libc.so.6",)


# The file system that layers make


def names(*layers: Members) -> set[str]:
    def walk(node: rootfs.Node, prefix: str) -> set[str]:
        below = {f"{prefix}/{name}": child for name, child in node.children.items()}
        return {*below} | {each for name, child in below.items() for each in walk(child, name)}

    return walk(rootfs.tree(blobs(*layers)), "")


def test_whiteouts_hide_what_lies_below() -> None:
    lower: Members = {"a/one": b"", "a/two": b"", "b/one": b"", "c": b""}
    assert names(lower, {"a/.wh.one": b"", ".wh.b": b""}) == {"/a", "/a/two", "/c"}
    assert names(lower, {"a/three": b"", "a/.wh..wh..opq": b""}) == {"/a", "/a/three", "/b", "/b/one", "/c"}
    assert names(lower, {"c": b"", ".wh.c": b""}) >= {"/c"}


def test_a_file_takes_a_folders_place_and_a_folder_a_files() -> None:
    assert names({"a/one": b"", "b": b""}, {"a": b"", "b/one": b""}) == {"/a", "/b", "/b/one"}
    assert names({"a/one": b""}, {"a": entry(tarfile.DIRTYPE)}) == {"/a", "/a/one"}


def test_links_on_the_way_are_followed() -> None:
    root = rootfs.tree(blobs({"lib": link("usr/lib"), "usr/lib/x": b""}, {"lib/y": b"", "etc/z": link("../lib/y")}))
    assert [rootfs.find(root, path)[0] for path in ("/lib/x", "/etc/z", "usr/../lib/./y")] == [  # type: ignore[index]
        "/usr/lib/x",
        "/usr/lib/y",
        "/usr/lib/y",
    ]
    assert rootfs.find(root, "/lib/nothing") is None


@pytest.mark.parametrize("target", ["a", "b", "/a/../a", "b/../a"])
def test_links_in_a_circle_lead_nowhere(target: str) -> None:
    root = rootfs.tree(blobs({"a": link(target), "b": link("a")}))
    assert rootfs.find(root, "/a") is None


def test_hard_links_have_their_targets_content() -> None:
    made = blobs({"one": b"1", "two": entry(tarfile.LNKTYPE, "one")}, {".wh.one": b""})
    root = rootfs.tree(made)
    assert rootfs.contents(made, {"it": root.children["two"]}) == {"it": b"1"}


def test_names_that_leave_the_root_are_no_names() -> None:
    assert names({"../etc/passwd": b"", "a/../../b": b"", "/abs": b""}) == {"/abs"}


def test_the_upper_layers_content_counts() -> None:
    made = blobs({"a": b"old", "b": b"b"}, {"a": b"new"})
    root = rootfs.tree(made)
    assert rootfs.contents(made, dict(root.children)) == {"a": b"new", "b": b"b"}
    assert rootfs.contents(made, dict(root.children), limit=2) == {"b": b"b"}


@pytest.mark.parametrize(
    "data",
    [b"not gzip", gzip.compress(b"not a tar" * 100), gzip.compress(images.tar(BASE))[:-40]],
    ids=["not gzip", "no tar", "cut short"],
)
def test_a_layer_that_is_none(data: bytes) -> None:
    path = store.put("blobs", [data])[1]
    with pytest.raises(ResolveError, match="cannot be read"):
        rootfs.tree([Blob(path, oci.LAYER_GZIP)])


def test_a_layer_without_compression_and_one_of_an_unknown_kind() -> None:
    path = store.put("blobs", [images.tar({"a": b""})])[1]
    assert "a" in rootfs.tree([Blob(path, oci.DOCKER_LAYER)]).children
    with pytest.raises(ResolveError, match="application/x-odd"):
        rootfs.tree([Blob(path, "application/x-odd")])


def test_the_newest_symbols_of_runtimes_are_kept() -> None:
    folder = "usr/lib/x86_64-linux-gnu"
    more: dict[str, bytes | tarfile.TarInfo] = {
        f"{folder}/libstdc++.so.6": link("libstdc++.so.6.0.33"),
        f"{folder}/libstdc++.so.6.0.33": elves.make(defined=["GLIBCXX_3.4.9", "GLIBCXX_3.4.33", "CXXABI_1.3.15"]),
        f"{folder}/libgcc_s.so.1": elves.make(defined=["GCC_3.0", "GCC_14.0.0"]),
        f"{folder}/libz.so.1": b"no library at all",
    }
    assert gather({**BASE, **more}).symbols == (
        "libgcc_s.so.1(GCC_14.0.0)",
        "libstdc++.so.6(CXXABI_1.3.15)",
        "libstdc++.so.6(GLIBCXX_3.4.33)",
    )


def test_a_zstd_layer_is_read() -> None:
    plain = images.tar({"a": b"content", "b": bytes(1 << 20), "c": b""})
    data = zstandard.compress(plain[:900]) + zstandard.compress(plain[900:])
    blob = [Blob(store.put("blobs", [data])[1], oci.LAYER_ZSTD)]
    found = rootfs.tree(blob, re.compile("^[ac]$"))
    assert {name: node.data for name, node in found.children.items()} == {"a": b"content", "b": None, "c": b""}
    assert rootfs.contents(blob, found.children)["b"] == bytes(1 << 20)


@pytest.mark.parametrize(
    "data", [b"not zstd", zstandard.compress(b"x" * 9000)[:-4], zstandard.compress(b"no tar" * 99)]
)
def test_a_zstd_layer_that_is_none(data: bytes) -> None:
    with pytest.raises(ResolveError, match="cannot be read"):
        rootfs.tree([Blob(store.put("blobs", [data])[1], oci.LAYER_ZSTD)])


# A real base


@pytest.mark.docker
@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_a_real_base_of_any_platform(platform: str, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mirror != "docker.io":
        monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", f"http://{mirror}")
    found = facts.read_base("python:3.13-slim", platform, "python3")
    assert found.digest.startswith("sha256:")
    assert found.facts.interpreter.endswith("/bin/python3.13")
    assert found.facts.interpreter_version.startswith("3.13.")
    assert found.facts.libc == "glibc"
    assert {"libc.so.6", "libm.so.6"} <= set(found.facts.libraries)
    assert found.facts.passwd.startswith("root:")
    assert found.facts.group.startswith("root:")


@pytest.mark.docker
def test_a_sidecar_is_pinned_by_its_index(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mirror != "docker.io":
        monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", f"http://{mirror}")
    found = facts.sidecar("redis:7")
    assert (found.reference, found.digest[:7]) == ("redis:7", "sha256:")


@pytest.mark.parametrize(
    ("program", "environment", "packages", "version"),
    [
        ("/usr/local/bin/ruby", {"RUBY_VERSION": "3.4.7"}, "", "3.4.7"),
        ("/usr/bin/ruby3.3", {"RUBY_VERSION": "3.3.9"}, "Package: ruby3.3\nVersion: 3.3.8-2\n", "3.3.9"),
        ("/usr/bin/ruby3.3", {}, "Package: ruby3.3\nVersion: 3.3.8-2+deb13u1\n", "3.3.8"),
        ("/usr/bin/php8.4", {}, "Package: php8.4-cli\nVersion: 8.4.11-1\n", "8.4.11"),
        ("/usr/bin/node", {}, "Package: nodejs\nVersion: 22.14.0+dfsg-1\n", "22.14.0"),
        ("/usr/local/bin/ruby", {}, "Package: ruby3.3\nVersion: 3.3.8-2\n", ""),
        ("/usr/bin/ruby3.3", {}, "", ""),
    ],
)
def test_other_interpreters_versions_are_told_by_the_environment_or_the_distribution(
    program: str, environment: dict[str, str], packages: str, version: str
) -> None:
    read = {"dpkg": packages.encode()}
    assert versions.interpreter(read, program, environment, "a base") == version


def test_alpine_s_packages_tell_a_version() -> None:
    assert versions.interpreter({"apk": b"P:ruby\nV:3.3.8-r0\n"}, "/usr/bin/ruby", {}, "a base") == "3.3.8"
