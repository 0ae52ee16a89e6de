"""The benchmarks' arithmetic and their table; nothing here is timed."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import measure, service, table
from benchmarks.measure import Sample
from benchmarks.table import Aim, Row
from tools.state import ToolError


def test_ratio_of_medians_and_paired_ratio_are_not_the_same() -> None:
    ours, theirs = (1.0, 9.0, 2.0), (4.0, 3.0, 2.0)
    assert measure.ratio(ours, theirs) == pytest.approx(2 / 3)
    assert measure.paired(ours, theirs) == pytest.approx(1.0)


def test_competitors_take_turns() -> None:
    order: list[str] = []

    def runs(name: str) -> measure.Prepared:
        def run() -> Sample:
            order.append(name)
            return Sample(float(len(order)))

        return run

    first, second = measure.alternately(3, runs("a"), runs("b"))
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert [each.seconds for each in first] == [1, 3, 5]
    assert [each.seconds for each in second] == [2, 4, 6]


def test_programs_one_after_the_other_count_as_one() -> None:
    assert measure.total([Sample(1.5, 10, "a"), Sample(2.0, 7, "b")]) == Sample(3.5, 10, "b")


def test_a_run_is_the_whole_process(tmp_path: Path) -> None:
    code = "import os, sys; block = bytearray(90_000_000); print(os.getcwd()); sys.stderr.write('noise')"
    done = measure.run([sys.executable, "-c", code], os.environ, tmp_path)
    assert done.stdout == str(tmp_path)
    assert done.seconds > 0
    assert done.peak > 90_000_000


def test_a_run_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="ended with 3") as raised:
        measure.run([sys.executable, "-c", "import sys; print('why'); sys.exit(3)"], os.environ, tmp_path)
    assert raised.value.output.strip() == "why"


@pytest.mark.parametrize(
    ("aim", "found", "met"),
    [
        (None, None, None),
        (Aim("figure", 2.0), 2.0, True),
        (Aim("figure", 1.9), 2.0, False),
        (Aim("ratio", 0.5), 0.5, True),
        (Aim("ratio", 0.4), 0.5, False),
        (Aim("difference", -2.0), -2.0, True),
        (Aim("difference", -2.5), -2.0, False),
    ],
)
def test_aims(aim: Aim | None, found: float | None, met: bool | None) -> None:
    row = Row("x", (1.0, 2.0, 9.0), (4.0, 3.0, 5.0), aim=aim)
    assert table.reached(row) == found
    assert table.met(row) is met


def test_the_table_reads_as_markdown() -> None:
    rows = [
        Row("cold", (1.0, 3.0), (8.0, 8.0), "uv sync", aim=Aim("ratio", 1.3)),
        Row("help", (0.25,), (0.05,), "python3", "ms", Aim("difference", 0.1)),
        Row("memory", (84.6e6,), unit="MB", aim=Aim("figure", 200e6)),
    ]
    lines = table.render(rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(line) for line in lines}) == 1
    assert cells[0] == list(table.HEAD)
    assert all(set(cell) == {"-"} for cell in cells[1])
    assert cells[2:] == [
        ["cold", "2.00 s", "8.00 s, uv sync", "0.25 (0.25)", "≤ 1.3 ×", "yes"],
        ["help", "250 ms", "50 ms, python3", "5.00 (5.00)", "≤ +100 ms", "**no**"],
        ["memory", "84.6 MB", "", "", "≤ 200 MB", "yes"],
    ]


def test_a_page_keeps_what_stands_around_its_table() -> None:
    page = f"# Title\n\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    once = table.replaced(page, "| new |\n")
    assert once == f"# Title\n\n{table.BEGIN}\n\n| new |\n\n{table.END}\nafter\n"
    assert table.replaced(once, "| new |\n") == once
    with pytest.raises(ToolError, match="no place for a table"):
        table.replaced("# Title\n", "| new |\n")


def test_the_document_has_a_place_for_the_table() -> None:
    page = Path(__file__).parents[1] / "docs" / "benchmarks.md"
    assert "| new |" in table.replaced(page.read_text(), "| new |\n")


def test_a_copy_changes_by_one_line_and_each_time_by_another(tmp_path: Path) -> None:
    copy = service.copied(service.ORDERS, tmp_path / "orders")
    assert "cdaf.lock" not in (copy.root / ".gitignore").read_text().split()
    before = (copy.root / "cdaf.toml").read_text()
    for count in (1, 2):
        service.changed(copy, "cdaf.toml")
        assert (copy.root / "cdaf.toml").read_text() == f"{before}{service.MARK}{count}\n"


def test_an_unknown_case_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        program.main(["--only", "nothing"])
    assert raised.value.code == 2
    assert "package-cold" in capsys.readouterr().err
