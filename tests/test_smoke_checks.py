"""What a checks' runner reports: read as data, whatever it holds."""

import pytest

from cdaf.errors import SmokeError
from cdaf.testing import checks

LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("<testsuite><testcase>", "cannot be read"),
        ("<testsuite>\0</testsuite>", "cannot be read"),
        ("no XML at all", "cannot be read"),
        (f"<!DOCTYPE a [<!ENTITY l0 'ha'>{LAUGHS}]><testsuite>&l11;</testsuite>", "declares a document type"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><testsuite/>", "declares a document type"),
    ],
)
def test_what_is_no_report(text: str, said: str) -> None:
    with pytest.raises(SmokeError, match=said):
        checks.parse(text, 1, (0.0, 1.0))


def test_a_page_in_a_message_is_no_document_type() -> None:
    text = "<testsuite><testcase name='a'><failure><![CDATA[<!DOCTYPE html>]]></failure></testcase></testsuite>"
    (check,) = checks.parse(text, 1, (0.0, 1.0))
    assert check.detail == "<!DOCTYPE html>"


@pytest.mark.parametrize("time", ["inf", "-inf", "nan", "1e308", "-5", "soon", ""])
def test_a_time_that_nobody_measured_counts_as_none(time: str) -> None:
    (check,) = checks.parse(f"<testsuite><testcase name='a' time='{time}'/></testsuite>", 1, (2.0, 3.0))
    assert (check.start, check.seconds) == (3.0, 0.0)
