"""The pinned coder: what it writes is gzip, and its bytes depend on the content alone."""

import gzip
import hashlib
import io
import zlib

from hypothesis import given
from hypothesis import strategies as st

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
