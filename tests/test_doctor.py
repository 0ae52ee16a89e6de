"""What `doctor` finds on machines that have less and less."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdaf.terminal import doctor

SECRET = "c4n4ry-never-shown"


def run(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, object]], str]:
    done = subprocess.run(
        [sys.executable, "-m", "cdaf", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["ok"] is (done.returncode == 0)
    assert ("error" in told) is not told["ok"]
    return done.returncode, {each["name"]: each for each in told["findings"]}, done.stdout


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """An environment with no program, no login and no engine."""
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home"), "CDAF_CACHE": str(tmp_path / "cache")}


def test_works_where_nothing_is(nothing: dict[str, str]) -> None:
    code, found, _ = run(nothing)
    assert code == 3  # git comes first
    assert found["git"]["state"] == "missing"
    assert found["engine"]["state"] == "missing"
    assert found["engine"]["mend"]
    assert found["uv"]["state"] == "ok"
    assert found["registry logins"]["state"] == "unset"


def test_only_the_engine_is_missing(nothing: dict[str, str]) -> None:
    code, found, text = run({**nothing, "PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{nothing['HOME']}/none"})
    assert (found["git"]["state"], found["git"]["code"]) == ("ok", 0)
    assert code == 9
    error = json.loads(text)["error"]
    assert error["message"] == f"engine: {found['engine']['found']}"
    assert (error["hint"], error["exit_code"]) == (found["engine"]["mend"], 9)


def test_names_logins_and_no_secret(nothing: dict[str, str]) -> None:
    folder = Path(nothing["HOME"]) / ".docker"
    folder.mkdir(parents=True)
    logins = {"auths": {"https://registry.example/v2/": {"username": "joe", "password": SECRET}}, "credsStore": "pass"}
    (folder / "config.json").write_text(json.dumps(logins))
    (folder.parent / ".netrc").write_text(f"machine index.example login joe password {SECRET}\n")
    (folder.parent / ".netrc").chmod(0o600)
    more = {"UV_INDEX_OURS_PASSWORD": SECRET, "HTTPS_PROXY": f"http://joe:{SECRET}@proxy.example"}
    _, found, text = run({**nothing, **more})
    assert found["registry logins"]["found"] == "registry.example, all in pass"
    assert found["netrc"]["state"] == "ok"
    assert found["index logins"]["found"] == "UV_INDEX_OURS_PASSWORD"
    assert found["proxies"]["found"] == "HTTPS_PROXY"
    assert SECRET not in text


def test_a_cache_that_cannot_be(nothing: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, found, _ = run({**nothing, "CDAF_CACHE": str(tmp_path / "file" / "cache")})
    assert found["cache"]["state"] == "problem"
    assert code == 2


@pytest.mark.docker
def test_an_engine_is_told_in_full() -> None:
    found = {each.name: each for each in doctor.examine()}
    assert {found[name].state for name in ("engine", "docker", "compose", "platforms")} == {"ok"}
    assert doctor.lack(list(found.values())) is None
    assert not any(each.code for each in found.values())
