"""Archives that are one stream, `.tar` and `.tgz`: what enters a layer of them, and what is refused by name."""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from cdaf.errors import ImageError
from cdaf.images import content, layer, listing, plan
from cdaf.images.coder import Stream
from tests import images, rubykit

FILES: images.Members = {
    "package/package.json": b'{"name": "x"}',
    "./package/bin/cli.js": b"#!/usr/bin/env node\n",
    "package/lib/big.js": bytes(range(256)) * 10_000,
    "package/lib": images.entry(tarfile.DIRTYPE),
    "package/latest.js": images.link("lib/big.js"),
    "package/README.md": b"left out",
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def archive(members: images.Members, name: str = "x.tgz") -> bytes:
    plain = images.tar(members)
    return gzip.compress(plain, mtime=1) if name.endswith("gz") else plain


def unpack(name: str = "deps/x.tgz", prefix: str = "/app/node_modules/x") -> plan.Unpack:
    return plan.Unpack(name, prefix, strip=1, skip=("package/README.md",))


def written(entries: tuple[plan.Entry, ...], contents: Mapping[str, bytes | content.Content], out: Path) -> list[str]:
    held = {
        name: data if isinstance(data, content.Content) else content.of_bytes(data) for name, data in contents.items()
    }
    with out.open("wb") as file:
        stream = Stream(file)
        rows = layer.write(plan.Layer("x", entries), held, {}, stream)
        stream.finish()
    assert rows == listing.read(out)
    return [row.path for row in rows]


@pytest.mark.parametrize("name", ["x.tgz", "x.tar"])
def test_files_and_links_are_spread_by_the_plan(tmp_path: Path, name: str) -> None:
    paths = written((unpack(),), {"deps/x.tgz": archive(FILES, name)}, tmp_path / "out")
    assert paths == sorted(paths, key=str.encode)
    with tarfile.open(tmp_path / "out") as made:
        found = {each.name.removeprefix("app/node_modules/x/"): each for each in made if not each.isdir()}
        assert set(found) == {"bin/cli.js", "package.json", "lib/big.js", "latest.js"}
        assert found["bin/cli.js"].mode == 0o755
        assert found["package.json"].mode == 0o644
        assert (found["latest.js"].type, found["latest.js"].linkname) == (tarfile.SYMTYPE, "lib/big.js")
        big = made.extractfile(found["lib/big.js"])
        assert big is not None
        assert big.read() == FILES["package/lib/big.js"]


def test_many_archives_of_one_layer_share_a_scratch_file_and_cross_one_another(tmp_path: Path) -> None:
    entries, contents = [], {}
    for number in range(20):
        data = {
            f"package/{part}{number}.js": hashlib.sha256(b"%d%d" % (part, number)).digest() * 20_000 for part in (1, 2)
        }
        contents[f"deps/{number}.tgz"] = archive(data)
        entries.append(plan.Unpack(f"deps/{number}.tgz", "/app", strip=1))
    assert len(written(tuple(entries), contents, tmp_path / "out")) == 41


def test_an_archive_in_a_slice_of_a_file_is_read_in_place(tmp_path: Path) -> None:
    data = archive(FILES)
    (tmp_path / "bundle").write_bytes(b"before" + data + b"after")
    part = content.Content(hashlib.sha256(data).hexdigest(), len(data), tmp_path / "bundle", offset=6)
    assert written((unpack(),), {"deps/x.tgz": part}, tmp_path / "a") == written(
        (unpack(),), {"deps/x.tgz": data}, tmp_path / "b"
    )


def test_how_a_tgz_was_compressed_does_not_reach_the_layer(tmp_path: Path) -> None:
    plain = images.tar(FILES)
    for number, data in enumerate(
        [plain, gzip.compress(plain, 1), gzip.compress(plain[:999]) + gzip.compress(plain[999:])]
    ):
        written((unpack(),), {"deps/x.tgz": data}, tmp_path / str(number))
    assert len({(tmp_path / str(number)).read_bytes() for number in range(3)}) == 1


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    return images.entry(kind, target)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.LNKTYPE, "package/odd is a hard link to package/package.json"),
        (tarfile.CHRTYPE, "package/odd is a character device"),
        (tarfile.BLKTYPE, "package/odd is a block device"),
        (tarfile.FIFOTYPE, "package/odd is a named pipe"),
    ],
)
def test_what_is_no_file_folder_or_link_is_refused_by_name(tmp_path: Path, kind: bytes, what: str) -> None:
    odd = {**FILES, "package/odd": special(kind, "package/package.json" if kind == tarfile.LNKTYPE else "")}
    with pytest.raises(ImageError) as caught:
        written((unpack(),), {"deps/x.tgz": archive(odd)}, tmp_path / "out")
    assert f"deps/x.tgz: {what}" in caught.value.message


def test_all_odd_members_of_all_archives_are_named_at_once(tmp_path: Path) -> None:
    one = archive({"package/a": special(tarfile.CHRTYPE), "package/b": special(tarfile.FIFOTYPE)})
    two = archive({"package/c": special(tarfile.LNKTYPE, "package/nowhere")})
    with pytest.raises(ImageError) as caught:
        written((unpack("deps/1"), unpack("deps/2", "/other")), {"deps/1": one, "deps/2": two}, tmp_path / "out")
    for part in (
        "deps/1: package/a",
        "package/b is a named pipe",
        "deps/2: package/c is a hard link to package/nowhere",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize("name", ["package/../../../etc/passwd", "package//x", "package/./x"])
def test_a_member_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="which no image has"):
        written((unpack(),), {"deps/x.tgz": archive({name: b"x"})}, tmp_path / "out")


def test_an_absolute_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="/etc/passwd is an absolute path"):
        written((unpack(),), {"deps/x.tgz": archive({"/etc/passwd": b"x"})}, tmp_path / "out")


def test_two_archives_that_place_one_path_are_both_named(tmp_path: Path) -> None:
    both = {"deps/1.tgz": archive({"package/a.js": b"1"}), "deps/2.tgz": archive({"package/a.js": b"2"})}
    with pytest.raises(ImageError) as caught:
        written((unpack("deps/1.tgz"), unpack("deps/2.tgz")), both, tmp_path / "out")
    assert (
        "deps/1.tgz!package/a.js and deps/2.tgz!package/a.js both place /app/node_modules/x/a.js"
        in caught.value.message
    )


def test_a_file_below_a_link_is_refused(tmp_path: Path) -> None:
    odd: images.Members = {"package/lib": images.link("/etc"), "package/lib/passwd": b"x"}
    with pytest.raises(ImageError, match="stands below it"):
        written((unpack(),), {"deps/x.tgz": archive(odd)}, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flip", "tar cut", "trailer"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    data = bytearray(archive(FILES))
    if damage == "cut":
        del data[-2000:]
    elif damage == "tar cut":
        data = bytearray(gzip.compress(images.tar(FILES)[:20_000]))
    else:
        data[-6 if damage == "trailer" else len(data) // 2] ^= 0x55
    with pytest.raises(ImageError, match=r"deps/x\.tgz"):
        written((unpack(),), {"deps/x.tgz": bytes(data)}, tmp_path / "out")


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    """GNU's form, as `tar --sparse` writes it; no program here does, so its header is made by hand."""
    header = bytearray(tarfile.TarInfo("package/sparse").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    with pytest.raises(ImageError, match="package/sparse is a sparse file"):
        written((unpack(),), {"deps/x.tgz": bytes(header) + bytes(1024)}, tmp_path / "out")


def test_names_beyond_ustar_are_read(tmp_path: Path) -> None:
    out, name = io.BytesIO(), "package/" + "é" * 90 + "/file.js"
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "global"}) as made:
        info = tarfile.TarInfo(name)
        info.size = 3
        made.addfile(info, io.BytesIO(b"abc"))
    assert written((unpack(),), {"deps/x.tgz": out.getvalue()}, tmp_path / "out")[-1].endswith("é/file.js")


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="package/l is a link to nothing"):
        written((unpack(),), {"deps/x.tgz": archive({"package/l": images.link("")})}, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [("package/\udcff", "", "which no image has"), ("package/l", "\udcff", "which cannot be")],
)
def test_names_that_are_no_text_are_refused(tmp_path: Path, name: str, target: str, told: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = (tarfile.SYMTYPE if target else tarfile.REGTYPE), target
    with pytest.raises(ImageError, match=told):
        written((unpack(),), {"deps/x.tgz": info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)}, tmp_path / "out")


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "q", "GNU.sparse.realsize": "5"},
        {"GNU.sparse.map": "a,b", "GNU.sparse.size": "5"},
    ],
)
def test_pax_records_that_make_no_sense_are_damage(tmp_path: Path, records: dict[str, str]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("package/a")
        info.size, info.pax_headers = 1, records
        made.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ImageError, match="a damaged archive"):
        written((unpack(),), {"deps/x.tgz": out.getvalue()}, tmp_path / "out")


@pytest.mark.parametrize("stored", [False, True])
def test_a_gem_s_files_are_the_archive_in_it(tmp_path: Path, stored: bool) -> None:
    """RubyGems' `data.tar.gz`, from memory or from the middle of a file as in a bundle; by its name a gem is known."""
    data = rubykit.gem("a", files={"bin/a": "#!/usr/bin/env ruby\n", "notes.txt": "x" * 5000})
    held = content.of_bytes(data)
    if stored:
        (tmp_path / "bundle").write_bytes(b"before" + data + b"after")
        held = content.Content(held.sha256, len(data), tmp_path / "bundle", 6)
    laid = layer.paths(_gem("deps/a-1.gem"), {"deps/a-1.gem": held}, {})
    found = {header.path: (header.mode, header.size) for header, _ in laid}
    assert found["gems/a/bin/a"] == (0o755, 20)
    assert found["gems/a/notes.txt"] == (0o644, 5000)
    assert not any("metadata" in path for path in found)
    named = {header.path for header, _ in layer.paths(_gem("deps/a-1.tar"), {"deps/a-1.tar": held}, {})}
    assert named >= {"gems/a/metadata.gz", "gems/a/data.tar.gz"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (images.tar({"metadata.gz": b"x"}), "deps/a.gem: holds no data.tar.gz"),
        (images.tar({"data.tar.gz": b"x"})[:600], "deps/a.gem: a damaged archive"),
        (images.tar({"data.tar.gz": b"\x1f\x8bx"}), "deps/a.gem: a damaged archive"),
        (rubykit.gem("a")[:700], "deps/a.gem: "),
    ],
)
def test_a_gem_that_is_none_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=re.escape(said)):
        written((plan.Unpack("deps/a.gem", "/gems/a"),), {"deps/a.gem": data}, tmp_path / "out")


def _gem(archive: str) -> plan.Layer:
    return plan.Layer("gems", (plan.Unpack(archive, "/gems/a"),))
