"""Marker environment and tags from facts, compared with what packaging says of the machine at hand."""

import platform
import sys

import pytest
from packaging.markers import default_environment
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from cdaf.errors import ResolveError
from cdaf.languages._python import environment
from cdaf.projects.pins import Facts
from tests import pykit

HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine(), "linux/amd64")
MUSL = Facts(interpreter="/usr/local/bin/python3.13", interpreter_version="3.13.5", libc="musl", libc_version="1.2.5")


def test_this_machine_as_a_base_has_this_machines_tags() -> None:
    if platform.libc_ver()[0] != "glibc" or sys.implementation.name != "cpython":
        pytest.fail("this test compares with CPython on glibc, on which the tests are run")
    assert list(environment.tags(pykit.host_facts(), HERE)) == list(sys_tags())


def test_this_machine_as_a_base_has_this_machines_markers() -> None:
    expected = dict(default_environment()) | {"platform_release": "", "platform_version": ""}
    assert dict(environment.markers(pykit.host_facts(), HERE)) == expected


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("a-1-cp313-cp313-manylinux_2_41_x86_64.whl", True),
        ("a-1-cp313-cp313-manylinux_2_42_x86_64.whl", False),
        ("a-1-cp313-cp313-manylinux1_x86_64.whl", True),
        ("a-1-cp38-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("a-1-cp313-cp313t-manylinux2014_x86_64.whl", False),
        ("a-1-cp312-cp312-manylinux2014_x86_64.whl", False),
        ("a-1-py3-none-manylinux2010_x86_64.whl", True),
        ("a-1-cp313-cp313-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp313-cp313-manylinux2014_aarch64.whl", False),
        ("a-1-py2.py3-none-any.whl", True),
    ],
)
def test_a_base_takes_the_wheels_that_its_libc_and_python_can_run(wheel: str, fits: bool) -> None:
    assert bool(parse_wheel_filename(wheel)[3] & set(environment.tags(pykit.FACTS, "linux/amd64"))) is fits


def test_arm_and_musl() -> None:
    arm = set(environment.platform_tags(pykit.FACTS, "linux/arm64"))
    assert "manylinux2014_aarch64" in arm
    assert not any("2010" in tag or "manylinux_2_16" in tag for tag in arm)
    expected = ["linux_x86_64", "musllinux_1_2_x86_64", "musllinux_1_1_x86_64", "musllinux_1_0_x86_64"]
    assert list(environment.platform_tags(MUSL, "linux/amd64")) == expected


@pytest.mark.parametrize("platform", ["windows/amd64", "linux/vax", "linux"])
def test_a_platform_without_python_is_refused(platform: str) -> None:
    with pytest.raises(ResolveError, match=f"{platform}: no such platform"):
        environment.markers(pykit.FACTS, platform)
