"""A zip of deflated members in one form: any reader takes it, and a layer its streams as they stand."""

import io
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import ImageError
from cdaf.images import coder, content, deflatezip, layer, plan, wheelzip

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))
FILES = st.dictionaries(NAMES, st.binary(max_size=3000), max_size=20)


def written(files: dict[str, bytes]) -> bytes:
    return b"".join(deflatezip.write((name, files[name]) for name in sorted(files, key=str.encode)))


@given(FILES)
def test_other_readers_find_what_was_written(files: dict[str, bytes]) -> None:
    data = written(files)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert {each.filename: opened.read(each) for each in opened.infolist()} == files
        assert all(each.date_time == (1980, 1, 1, 0, 0, 0) for each in opened.infolist())
        assert all(each.external_attr >> 16 == 0o100644 and not each.extra for each in opened.infolist())
    with content.reading(content.of_bytes(data)) as reader:
        found = wheelzip.entries(reader)
        assert {each.name: b"".join(wheelzip.contents(reader, each)) for each in found} == files
        for each in found:
            assert b"".join(wheelzip.raw(reader, each)) == coder.deflated(files[each.name])
            assert each.crc == zlib.crc32(files[each.name])


def test_a_layer_takes_it_without_a_compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"pkg/__pycache__/a.cpython-313.pyc": bytes(range(256)) * 40, "b.pyc": b""}
    sealed = {"generated/bytecode/x.zip": content.of_bytes(written(files))}
    wanted = plan.Layer("x", (plan.Unpack("generated/bytecode/x.zip", "/app/site"),))
    pressed: list[int] = []
    really = coder.deflated

    def noted(data: bytes) -> bytes:
        pressed.append(len(data))
        return really(data)

    monkeypatch.setattr(coder, "deflated", noted)
    out = io.BytesIO()
    rows = layer.write(wanted, sealed, {}, coder.Stream(out))
    assert {row.path: row.size for row in rows if row.kind == "file"} == {
        f"app/site/{name}": len(data) for name, data in files.items()
    }
    assert max(pressed, default=0) < 10_000  # headers alone


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="too many files"):
        (tmp_path / "x").write_bytes(b"".join(deflatezip.write((f"{number:06}", b"") for number in range(0x10000))))
