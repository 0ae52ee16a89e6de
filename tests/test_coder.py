"""The pinned coders: what they write is gzip or zstd, and its bytes depend on the content alone."""

import gzip
import hashlib
import io
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cdaf.images import coder, zstd
from cdaf.images.coder import Stream

pieces = st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=12)


def encode(parts: list[tuple[bool, bytes]]) -> tuple[bytes, tuple[str, str]]:
    out = io.BytesIO()
    stream = Stream(out)
    for spliced, data in parts:
        if not spliced:
            stream.plain(data)
            continue
        coder = zlib.compressobj(6, zlib.DEFLATED, -15)
        stream.begin()
        stream.spliced(coder.compress(data) + coder.flush())
        stream.inflated(data)
        stream.end(zlib.crc32(data), len(data))
    digests = stream.finish()
    assert stream.size == len(out.getvalue())
    return out.getvalue(), digests


@given(pieces)
def test_the_members_inflate_to_the_content(parts: list[tuple[bool, bytes]]) -> None:
    blob, (digest, diff_id) = encode(parts)
    whole = b"".join(data for _, data in parts)
    assert gzip.decompress(blob) == whole
    assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert diff_id == "sha256:" + hashlib.sha256(whole).hexdigest()


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_how_content_is_handed_over_does_not_reach_the_bytes(data: bytes, step: int) -> None:
    once = encode([(False, data)])
    parted = encode([(False, data[at : at + step]) for at in range(0, len(data), step)])
    assert once == parted


def test_pieces_of_a_mebibyte_have_fixed_borders() -> None:
    data = bytes(range(256)) * 4096 * 3 + b"rest"
    assert encode([(False, data)]) == encode([(False, data[:1000]), (False, data[1000:])])


def test_known_bytes_stay_known() -> None:
    """A new coder gives other bytes; it needs a new assembler revision and a new value here."""
    data = b"".join(b"line %d\n" % number for number in range(50_000))
    assert encode([(False, data)])[1][0] == KNOWN


KNOWN = "sha256:3e0fee9f2268aa3f942ec556c07ed4840f4e0dee73856301f716d9bd6b9e72d2"


def by_zstd(parts: list[bytes]) -> tuple[bytes, tuple[str, str]]:
    out = io.BytesIO()
    stream = coder.stream(out, "zstd")
    for data in parts:
        stream.plain(data)
    digests = stream.finish()
    assert stream.size == len(out.getvalue())
    return out.getvalue(), digests


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_frames_hold_the_content_however_it_was_handed_over(data: bytes, step: int) -> None:
    blob, (digest, diff_id) = by_zstd([data])
    assert zstd.inflated(io.BytesIO(blob)).read(len(data) + 1) == data
    assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert by_zstd([data[at : at + step] for at in range(0, len(data), step)])[0] == blob


def test_frames_have_fixed_borders_and_their_sizes() -> None:
    data = bytes(range(256)) * (1 << 15) + b"rest"
    blob, _ = by_zstd([data[:1000], data[1000:]])
    assert blob == by_zstd([data])[0]
    assert zstandard.frame_content_size(blob) == 1 << 22


def test_known_frames_stay_known() -> None:
    data = b"".join(b"line %d\n" % number for number in range(500_000))
    assert by_zstd([data])[1][0] == KNOWN_FRAMES
    assert zstandard.ZSTD_VERSION == (1, 5, 7)


def test_frames_that_are_none_are_an_error_of_the_file() -> None:
    with pytest.raises(OSError, match="zstd"):
        zstd.inflated(io.BytesIO(b"nothing of the kind")).read(9)


KNOWN_FRAMES = "sha256:c50e727616419d0ed5a3a9ae0d8d1a08e6675e77994fc61d2f18d54f4edc6f4f"
