"""Secrets are blanked out in every spelling in which programs are likely to show them."""

import base64
import json
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import SmokeError, UsageError
from cdaf.testing import masking

SECRETS = st.text(min_size=4).filter(str.strip)


@given(SECRETS)
def test_every_spelling_is_blanked_out(secret: str) -> None:
    masked = masking.mask([secret])
    spellings = [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")]
    spellings += [escape(secret), base64.b64encode(secret.encode()).decode()]
    for each in spellings:
        assert masked(f"<{each}>") == "<***>", each


def test_lines_of_a_long_secret_are_secrets() -> None:
    masked = masking.mask(["-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----\n"])
    assert masked("read MIIEvQIBADANBg from the file") == "read *** from the file"
    assert masked("short words stay") == "short words stay"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert masking.mask(["abcd", "abcdefgh"])("abcdefgh abcd") == "*** ***"


def test_no_secret_changes_nothing() -> None:
    assert masking.mask()("as it stands") == "as it stands"
    assert masking.mask([""])("as it stands") == "as it stands"


def test_an_error_holds_no_secret() -> None:
    known = masking.error(SmokeError("m hunter22", "h hunter22", "o hunter22"), masking.mask(["hunter22"]))
    assert (str(known), known.message, known.hint, known.output) == ("m ***", "m ***", "h ***", "o ***")


def test_all_secrets_that_are_not_set_are_named_at_once() -> None:
    assert masking.bind(("A",), {"A": "1", "B": "2"}) == {"A": "1"}
    with pytest.raises(UsageError) as caught:
        masking.bind(("A", "B", "C"), {"B": "2", "C": ""})
    assert "A is not set" in caught.value.message
    assert "C is not set" in caught.value.message
