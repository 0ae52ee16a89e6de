"""What containers say, without what drives a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.testing import readable


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("plain \u00e4\t\U0001f40d", "plain \u00e4\t\U0001f40d"),
        ("\x1b[1;31mred\x1b[0m \x1b[38:5:9mtoo\x1b[m", "red too"),
        ("\x1b[2K\x1b[1Gdone\x1b[?25h", "done"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://h/\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1b(B\x1b7\x9b1mx", "x"),
        ("10%\r20%\r", "10% 20%"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\x00b\x08c\x7f\x85d\x1b", "abcd"),
    ],
)
def test_of_a_terminal_s_language_nothing_stays(said: str, text: str) -> None:
    assert readable.plain(said) == text


@given(st.text(st.sampled_from("\x1b\x9b[]P;?01mK\x07\\\r\n\t\x00a ")))
def test_no_control_character_is_left_and_no_line_lost(said: str) -> None:
    made = readable.plain(said)
    assert all(each.isprintable() or each in "\t\n" for each in made)
    assert readable.plain(made) == made


def test_much_that_ends_nowhere_takes_little() -> None:
    assert readable.plain("\x1b]" * 100_000 + "\x1b[" + "1;" * 100_000).endswith("1;")
