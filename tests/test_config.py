"""Reading cdaf.toml: precedence, origins, and every fault at once."""

from pathlib import Path

import pytest

from cdaf.errors import ProjectError, UsageError
from cdaf.settings import config
from cdaf.settings.settings import Publish
from tests import makers

MINIMAL = '[service]\nstart = ["run"]\n'


def read(root: Path, text: str, flags: dict[str, object] | None = None, **environ: str) -> config.Loaded:
    makers.write(root, {"cdaf.toml": text})
    return config.read(root, flags or {}, environ)


def test_the_least_that_is_asked_for(tmp_path: Path) -> None:
    loaded = read(tmp_path, MINIMAL)
    assert loaded.settings.service.start == ("run",)
    assert loaded.settings.image.platforms == ("linux/amd64",)
    assert loaded.origins == {"service.start": "cdaf.toml"}


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    text = MINIMAL + 'port = 1\n[image]\nbase = "file:1"\n[publish]\nto = ["layout:file"]\n'
    loaded = read(
        tmp_path,
        text,
        {"publish.to": ["layout:flag"]},
        CDAF_IMAGE_BASE="env:1",
        CDAF_PUBLISH_TO="layout:a, layout:b",
        CDAF_SERVICE_PORT="2",
        CDAF_SMOKE_RESTART="true",
        CDAF_SMOKE_CHECKS='["pytest", "a,b"]',
    )
    assert loaded.settings.publish.to == ("layout:flag",)
    assert loaded.settings.image.base == "env:1"
    assert loaded.settings.service.port == 2
    assert loaded.settings.smoke.restart is True
    assert loaded.settings.smoke.checks == ("pytest", "a,b")
    assert loaded.origins["publish.to"] == "flag"
    assert loaded.origins["image.base"] == "CDAF_IMAGE_BASE"


def test_a_table_in_pyproject_will_do(tmp_path: Path) -> None:
    makers.write(tmp_path, {"pyproject.toml": '[tool.cdaf.service]\nstart = ["run"]\n'})
    assert config.read(tmp_path, {}, {}).file.name == "pyproject.toml"
    makers.write(tmp_path, {"cdaf.toml": MINIMAL})
    with pytest.raises(ProjectError, match="both"):
        config.read(tmp_path, {}, {})


def test_all_faults_come_at_once_each_with_its_key(tmp_path: Path) -> None:
    text = """
        colour = "red"
        [image]
        compression = "zst"
        [service]
        port = "8000"
        startt = ["x"]
        env = { A = 1 }
        [imgae]
        base = "x"
        [smoke]
        timeout = 0
        [environments.staging]
        too = ["layout:x"]
        moving = [1]
    """
    with pytest.raises(ProjectError) as raised:
        read(tmp_path, text, CDAF_SMOKE_RESTART="maybe", CDAF_IMAGE_BYTEKODE="true", CDAF_SMOKE_ROUND="1")
    message = raised.value.message
    for part in (
        "CDAF_IMAGE_BYTEKODE: no such setting, did you mean CDAF_IMAGE_BYTECODE?",
        "image.compression: 'zst' is not one of gzip, zstd",
        "unknown table [imgae], did you mean 'image'?",
        "unknown table [colour]",
        "service.port: expected a number",
        "service.startt: unknown key, did you mean 'start'?",
        "service.env.A: expected text, got a number",
        "smoke.timeout: ",
        "environments.staging.too: unknown key, did you mean 'to'?",
        "environments.staging.moving[0]: expected text",
        "CDAF_SMOKE_RESTART: expected true or false, got text",
    ):
        assert part in message
    assert "CDAF_SMOKE_ROUND" not in message
    assert raised.value.exit_code == 3


def test_values_are_never_evaluated(tmp_path: Path) -> None:
    loaded = read(tmp_path, '[service]\nstart = ["$(touch x)", "`id`", "${HOME}", "it\'s", "#no comment"]\n')
    assert loaded.settings.service.start == ("$(touch x)", "`id`", "${HOME}", "it's", "#no comment")


@pytest.mark.parametrize("text", ["[service", "a = 1\na = 2", "x = \x00"])
def test_what_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProjectError, match=r"cdaf\.toml: not TOML"):
        read(tmp_path, text)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no cdaf\.toml") as raised:
        config.read(tmp_path, {}, {})
    assert raised.value.hint == "run `cdaf init`"
    (tmp_path / "file").touch()
    with pytest.raises(ProjectError, match="file: not a folder"):
        config.read(tmp_path / "file", {}, {})


def test_release_may_override_publishing_alone(tmp_path: Path) -> None:
    file = tmp_path / "release.toml"
    file.write_text('[publish]\nto = ["layout:there"]\n[environments.prod]\nto = ["layout:prod"]\n')
    sealed = Publish(to=("layout:here",), moving=("latest",))
    publish, environments = config.overriding(file, sealed, {"test": Publish(to=("layout:test",))})
    assert publish == Publish(to=("layout:there",), moving=("latest",))
    assert environments == {"test": Publish(to=("layout:test",)), "prod": Publish(to=("layout:prod",))}
    file.write_text('[service]\nstart = ["other"]\n[publish]\nto = 1\n')
    with pytest.raises(ProjectError) as raised:
        config.overriding(file, sealed, {})
    assert "[service] cannot be set at release" in raised.value.message
    assert "publish" in raised.value.message


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 100_000, "x = " + "9" * 5000, '"\\ud800" = 1', "<<<<<<< HEAD\n"],
    ids=["brackets", "digits", "surrogate", "conflict"],
)
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "cdaf.toml").write_text(text)
    with pytest.raises(ProjectError, match="not TOML"):
        config.read(tmp_path, environ={})


@pytest.mark.parametrize("text", ["tool = 5", "[tool]\ncdaf = 5"])
def test_tables_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ProjectError):
        config.read(tmp_path, environ={})


def test_a_command_as_text_is_told_as_a_list(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as raised:
        read(
            tmp_path, '[service]\nstart = "gunicorn \'app:make()\'"\nenv = "x"\n[smoke]\nbefore = "x"\nchecks = "\'"\n'
        )
    for part in (
        'service.start: expected a list, got text: write start = ["gunicorn", "app:make()"]\n',
        "service.env: expected a table, got text\n",
        "smoke.before: expected a list, got text\n",
        "smoke.checks: expected a list, got text",
    ):
        assert part in f"{raised.value.message}\n"


@pytest.mark.parametrize("told", ["many", "0", "65", "-1", "9" * 5000, "²"])
def test_a_wrong_number_of_workers_is_refused_by_whoever_reads_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("CDAF_WORKERS", told)
    with pytest.raises(UsageError, match="CDAF_WORKERS is"):
        read(tmp_path, MINIMAL)
