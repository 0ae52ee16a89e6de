"""Gems that are read, and gems that are refused: damaged, crafted, another than the lock says."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.bases.elf import Elf
from cdaf.errors import ResolveError
from cdaf.languages._ruby import gemspec, package
from tests import elves, rubykit


def read(data: bytes, folder: Path) -> package.Reading:
    path = folder / "a.gem"
    path.write_bytes(data)
    return package._read(path, "a 1.0.0")


def refused(data: bytes, folder: Path) -> str:
    with pytest.raises(ResolveError) as caught:
        read(data, folder)
    assert caught.value.hint
    assert caught.value.message.startswith("a 1.0.0: ")
    return caught.value.message


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def test_a_gem_is_read(tmp_path: Path) -> None:
    found = read(rubykit.gem("a", needs={"b": "~> 1"}, executables=["run"], files={"exe/run": "#!/bin/sh\n"}), tmp_path)
    assert found.files == ("lib/a.rb", "exe/run")
    assert (found.spec.name, found.spec.version, found.spec.platform) == ("a", "1.0.0", "ruby")
    assert (found.spec.license, found.spec.executables, found.spec.ruby) == ("MIT", ("run",), (">= 0",))
    assert found.spec.needs == (gemspec.Need("b", ("~> 1",)),)
    assert 's.add_runtime_dependency(%q<b>.freeze, ["~> 1".freeze])' in found.spec.text


def test_native_files_are_known(tmp_path: Path) -> None:
    found = read(rubykit.gem("a", files={"lib/a.so": elves.make()}), tmp_path)
    assert isinstance(found.native.get("lib/a.so"), Elf)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../evil")], "'../evil' leads out of it"),
        ([member("lib/../../evil")], "leads out of it"),
        ([member("/etc/passwd")], "an absolute path"),
        ([member("lib//a.rb")], "written oddly"),
        ([member("lib/a.rb")], "'lib/a.rb' is there twice"),
        ([member("lib/a.rb/b/c")], "lib/a.rb is a file, and lib/a.rb/b/c stands below it"),
        ([member("lib", tarfile.SYMTYPE, "b")], "lib is a file, and lib/a.rb stands below it"),
        ([member("lib/x", tarfile.SYMTYPE, "/etc/passwd")], "is a link out of it"),
        ([member("lib/x", tarfile.SYMTYPE, "../../x")], "is a link out of it"),
        ([member("lib/x", tarfile.LNKTYPE, "lib/a.rb")], "a hard link"),
        ([member("lib/x", tarfile.FIFOTYPE)], "a named pipe"),
        ([member("lib/a\nb")], "leads out of it, or is written oddly"),
    ],
)
def test_a_gem_whose_files_lead_elsewhere_is_refused(members: list[tarfile.TarInfo], said: str, tmp_path: Path) -> None:
    assert said in refused(rubykit.gem("a", members=members), tmp_path)


def test_links_inside_and_names_that_differ_by_case_are_fine(tmp_path: Path) -> None:
    found = read(rubykit.gem("a", files={"lib/A.rb": ""}), tmp_path)
    assert {"lib/a.rb", "lib/A.rb"} <= set(found.files)
    found = read(rubykit.gem("a", members=[member("lib/b.rb", tarfile.SYMTYPE, "a.rb")]), tmp_path)
    assert "lib/b.rb" in found.files


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("- 1", "no gem specification"),
        ("a: [", "cannot be read"),
        ("name: ../../x\nversion: {version: 1}", "'../../x'"),
        ("name: a\nversion: {version: '1/../..'}", "'1/../..'"),
        ("name: a\nversion: {version: 1.0.0}\nexecutables: [../../bin/sh]", "'../../bin/sh'"),
        ("name: a\nversion: {version: 1.0.0}\nbindir: ../..", "'../..'"),
        ('name: a\nversion: {version: 1.0.0}\nrequire_paths: ["lib\\nsystem(%q(id))"]', "lead out of it"),
        ('name: a\nversion: {version: 1.0.0}\nextensions: ["x\\nexit"]', "lead out of it"),
        ("name: a\nversion: {version: 1.0.0}\ndependencies: [{name: 'x> ; system(1) #'}]", "'x> ; system(1) #'"),
    ],
)
def test_a_crafted_description_is_refused(metadata: str, said: str, tmp_path: Path) -> None:
    assert said in refused(rubykit.gem("a", metadata=metadata), tmp_path)


def test_damaged_gems_are_refused(tmp_path: Path) -> None:
    whole = rubykit.gem("a", files={f"lib/{at}.rb": "x" * at for at in range(50)})
    assert "a damaged archive" in refused(whole[:700], tmp_path)
    assert refused(b"", tmp_path)
    assert "holds no metadata.gz" in refused(_tar({"data.tar.gz": b""}), tmp_path)
    spec = gzip.compress(b"name: a\nversion: {version: 1.0.0}\n")
    assert "holds no data.tar.gz" in refused(_tar({"metadata.gz": spec}), tmp_path)
    assert refused(_tar({"metadata.gz": spec[:20], "data.tar.gz": b""}), tmp_path)
    assert refused(_tar({"metadata.gz": b"no gzip", "data.tar.gz": b""}), tmp_path)
    assert refused(_tar({"metadata.gz": spec, "data.tar.gz": b"\x1f\x8bno gzip"}), tmp_path)


@given(st.integers(0, 3000), st.integers(0, 255))
def test_a_byte_that_flipped_ends_in_words_at_most(tmp_path_factory: pytest.TempPathFactory, at: int, to: int) -> None:
    data = bytearray(rubykit.gem("a"))
    data[at % len(data)] = to
    path = tmp_path_factory.getbasetemp() / "flipped.gem"
    path.write_bytes(data)
    try:
        package._read(path, "a 1.0.0")
    except ResolveError as error:
        assert error.message.startswith("a 1.0.0: ")  # noqa: PT017 - most bytes do no harm


def _tar(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return held.getvalue()


@given(st.text())
def test_text_stays_text_in_ruby(text: str) -> None:
    """No text of a gem's description becomes code: a literal has no end, and no interpolation, before its own."""
    if any(0xD800 <= ord(each) <= 0xDFFF for each in text):
        return
    literal = gemspec.dump(text, "")
    assert literal.isascii()
    assert literal.isprintable()
    inside = literal[1:-1]
    bare = inside.replace("\\\\", "").replace('\\"', "").replace("\\#", "")
    assert '"' not in bare
    assert not any(sign in bare for sign in ("#{", "#$", "#@"))


def test_no_description_makes_objects_or_code(tmp_path: Path) -> None:
    metadata = "--- !ruby/object:Gem::Specification\nname: a\nversion: !ruby/object:Gem::Version {version: 1.0.0}\n"
    metadata += "summary: !!python/object/apply:os.system [id]\nhomepage: \"#{system('id')}\"\n"
    text = read(rubykit.gem("a", metadata=metadata), tmp_path).spec.text
    assert "s.homepage = \"\\#{system('id')}\".freeze" in text


def test_a_gem_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_LARGE", 1 << 20)
    swollen = rubykit.gem("a", files={f"lib/{at}.rb": bytes(1 << 19) for at in range(4)})
    assert "times its own size" in refused(swollen, tmp_path)


def test_a_name_of_half_a_character_is_refused(tmp_path: Path) -> None:
    assert "leads out of it, or is written oddly" in refused(rubykit.gem("a", members=[member("lib/\udcff")]), tmp_path)
