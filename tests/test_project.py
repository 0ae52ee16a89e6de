"""A project as it stands on disk: what enters, what it is called, and what is wrong with it."""

import os
from pathlib import Path

import pytest

from cdaf import progress
from cdaf.errors import ProjectError
from cdaf.projects import git, project, starter
from tests import makers

TOML = '[service]\nstart = ["run"]\ninclude = ["app/**"]\n'
PYPROJECT = '[project]\nname = "Orders_Api"\nversion = "1.4.0"\n'
FILES = {"cdaf.toml": TOML, "pyproject.toml": PYPROJECT, "uv.lock": "version = 1\n", "app/main.py": "x = 1\n"}


@pytest.fixture
def service(tmp_path: Path) -> Path:
    return makers.repository(tmp_path / "service", FILES)


def read(root: Path, *, release: bool = False) -> project.Project:
    return project.read(root, environ={}, release=release)


def faults(root: Path) -> str:
    with pytest.raises(ProjectError) as raised:
        read(root)
    assert raised.value.exit_code == 3
    assert raised.value.hint
    return raised.value.message


def test_what_can_be_known_is_not_asked(service: Path) -> None:
    found = read(service)
    commit = makers.git(service, "rev-parse", "HEAD")
    assert (found.name, found.language, found.version.semver) == ("orders-api", "python", f"1.4.0+g{commit[:12]}")
    assert found.source == project.Source(1700000000, None, commit)
    assert [(file.name, file.executable) for file in found.files] == [("app/main.py", False)]


def test_the_time_is_the_commits_unless_it_is_set(service: Path) -> None:
    assert project.read(service, environ={"SOURCE_DATE_EPOCH": "1234"}).source.time == 1234
    with pytest.raises(ProjectError, match="SOURCE_DATE_EPOCH"):
        project.read(service, environ={"SOURCE_DATE_EPOCH": "tomorrow"})


def test_a_release_is_tagged_or_asked_for(service: Path) -> None:
    assert read(service, release=True).version.semver == "1.4.0"
    makers.git(service, "tag", "v1.4.1")
    assert not read(service).version.is_release
    makers.git(service, "tag", "v1.4.0")
    assert read(service).version.semver == "1.4.0"


def test_a_platform_left_out_by_a_flag_needs_no_mention_among_the_untested(service: Path) -> None:
    both = '[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n[smoke]\nuntested = ["linux/arm64"]\n'
    makers.write(service, {"cdaf.toml": TOML + both})
    makers.commit(service)
    found = project.read(service, {"image.platforms": ["linux/amd64"]}, environ={})
    assert found.settings.smoke.untested == ()
    assert read(service).settings.smoke.untested == ("linux/arm64",)


def test_git_tells_the_version_when_nothing_else_does(service: Path, tmp_path: Path) -> None:
    makers.write(service, {"pyproject.toml": '[project]\nname = "orders"\ndynamic = ["version"]\n'})
    makers.commit(service)
    assert "no version" in faults(service)
    makers.git(service, "tag", "v2.0.0")
    makers.commit(service)
    assert read(service).version.number == "2.0.0"
    makers.git(tmp_path, "clone", "-q", "--depth=1", f"file://{service}", "shallow")
    assert "shallow" in faults(tmp_path / "shallow")


def test_only_what_git_tracks_enters(service: Path) -> None:
    makers.write(service, {"app/secret.env": "x"})
    assert [file.name for file in read(service).files] == ["app/main.py"]


def test_modes_are_gits(service: Path) -> None:
    (service / "app/main.py").chmod(0o700)
    makers.commit(service)
    (service / "app/main.py").chmod(0o640)
    assert read(service).files[0].executable


def test_odd_names(service: Path) -> None:
    makers.write(service, {"app/a name with spaces.txt": "x", "app/ünïcode.txt": "y"})
    makers.commit(service)
    assert [file.name for file in read(service).files] == [
        "app/a name with spaces.txt",
        "app/main.py",
        "app/ünïcode.txt",
    ]
    makers.write(service, {"app/new\nline.txt": "x"})
    makers.commit(service)
    assert "control character" in faults(service)


def test_a_name_that_is_not_utf8(service: Path) -> None:
    Path(os.fsdecode(os.fsencode(service) + b"/app/\xff.txt")).write_text("x")
    makers.commit(service)
    with pytest.raises(ProjectError, match="not a UTF-8 file name"):
        read(service)


def test_links(service: Path, tmp_path: Path) -> None:
    (service / "app/current.py").symlink_to("main.py")
    makers.commit(service)
    assert {file.name: file.link for file in read(service).files} == {"app/current.py": "main.py", "app/main.py": ""}
    (service / "app/absolute").symlink_to("/etc/passwd")
    (service / "app/outside").symlink_to("../../elsewhere")
    makers.commit(service)
    told = faults(service)
    assert "app/absolute is a symbolic link out of the project" in told
    assert "app/outside is a symbolic link out of the project" in told


def test_all_faults_come_at_once(service: Path) -> None:
    makers.write(
        service,
        {
            "cdaf.toml": """
                [service]
                start = ["run"]
                include = ["nothing/**", "../up"]
                state = ["relative", "/"]
                env = { DB_PASSWORD = "hunter2", URL = "postgresql://a:b@c/d" }
                [image]
                platforms = ["linux/amd64", "windows/amd64"]
                [smoke]
                health = "healthz"
                untested = ["linux/arm64"]
                restart = true
                sidecars = ["postgres:17", "memcached:1"]
                [publish]
                tags = ["{nonsense}", "{", "a b"]
            """
        },
    )
    told = faults(service)
    for part in (
        "'nothing/**' matches nothing that git tracks",
        "'../up' leaves the service's folder",
        "'relative' is not an absolute folder",
        "service.env.DB_PASSWORD: looks like a secret",
        "service.env.URL: looks like a secret",
        "'windows/amd64' is not one of",
        "smoke.health: needs service.port",
        "is not a path that begins with /",
        "smoke.untested: 'linux/arm64' is not in image.platforms",
        "smoke.restart: needs smoke.checks",
        "names {nonsense}",
        "unbalanced braces",
        "'a b' is not a tag",
    ):
        assert part in told, part
    assert "hunter2" not in told


def test_no_lockfile(service: Path) -> None:
    makers.git(service, "rm", "-q", "uv.lock")
    assert "no lockfile" in faults(service)


def test_only_a_build_of_its_own_says_how_a_service_starts(service: Path) -> None:
    makers.write(service, {"cdaf.toml": "[service]\nport = 8000\n"})
    with pytest.raises(ProjectError, match=r"service\.start is missing"):
        project.read(service)
    makers.write(service, {"cdaf.toml": '[service]\nlanguage = "docker"\nversion = "1.0.0"\n'})
    assert project.read(service).settings.service.start == ()


def test_a_dockerfile_beside_a_lockfile_is_passed_over(service: Path) -> None:
    makers.write(service, {"Dockerfile": "FROM scratch\n"})
    assert project.read(service).language == "python"


def test_no_repository(tmp_path: Path) -> None:
    makers.write(tmp_path / "loose", FILES)
    assert "not in a git repository" in faults(tmp_path / "loose")
    makers.git(tmp_path / "loose", "init", "-q")
    assert "no commit yet" in faults(tmp_path / "loose")


def test_dirty_is_what_enters_and_differs(service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = read(service)
    assert project.settle(clean, [service / "uv.lock"]).version == clean.version
    makers.write(service, {"notes.txt": "does not enter"})
    assert not project.settle(read(service), []).source.dirty
    makers.write(service, {"app/main.py": "x = 2\n"})
    said: list[str] = []

    class Hearing(progress.Silent):
        def note(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(progress, "_sink", Hearing())
    dirty = project.settle(read(service), [])
    assert dirty.source.dirty
    assert dirty.version.semver.endswith(".dirty")
    assert "app/main.py" in said[0]
    with pytest.raises(ProjectError, match=r"dirty tree: app/main\.py"):
        project.settle(read(service, release=True), [], release=True)


def test_an_uncommitted_lock_makes_a_tree_dirty(service: Path) -> None:
    makers.write(service, {"cdaf.lock": "format = 1\n"})
    assert project.settle(read(service), [service / "cdaf.lock"]).source.dirty


def test_a_lock_above_and_a_service_below(tmp_path: Path) -> None:
    files = {f"services/orders/{name}": content for name, content in FILES.items() if name != "uv.lock"}
    root = makers.repository(tmp_path / "mono", {**files, "uv.lock": "version = 1\n"})
    found = read(root / "services/orders")
    assert (found.language, found.repository) == ("python", root)
    assert [file.name for file in found.files] == ["app/main.py"]


def test_tracked_files_have_gits_own_modes(service: Path) -> None:
    assert [(each.name, each.mode) for each in git.tracked(service / "app")] == [("main.py", "100644")]


def test_compose_files_keep_their_order(service: Path) -> None:
    table = '[smoke]\ncompose = ["z.yaml", "a.yaml"]\n'
    compose = "services:\n  one:\n    image: postgres:17\n"
    makers.write(service, {"cdaf.toml": TOML + table, "z.yaml": compose, "a.yaml": compose.replace("one", "two")})
    makers.commit(service)
    assert [file.name for file in read(service).compose] == ["z.yaml", "a.yaml"]


def test_what_git_was_told_not_to_see_makes_a_tree_dirty(service: Path) -> None:
    makers.git(service, "update-index", "--assume-unchanged", "app/main.py")
    (service / "app" / "main.py").write_text("print('not what was committed')\n")
    assert project.settle(read(service), ()).source.dirty
    with pytest.raises(ProjectError, match=r"app/main\.py"):
        project.settle(read(service, release=True), (), release=True)


@pytest.mark.parametrize("told", ["²", "٣٤", "-1", "1e3", "99999999999999999999", "253402300800"])
def test_a_time_that_no_manifest_can_write(service: Path, told: str) -> None:
    with pytest.raises(ProjectError, match="SOURCE_DATE_EPOCH"):
        project.read(service, environ={"SOURCE_DATE_EPOCH": told})


def test_links_in_a_circle(service: Path) -> None:
    (service / "app" / "one").symlink_to("two")
    (service / "app" / "two").symlink_to("one")
    makers.commit(service)
    told = faults(service)
    assert "app/one is a symbolic link that leads back to itself" in told
    assert "app/two is a symbolic link that leads back to itself" in told


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[service]\nstart = ["run", "--db=postgres://u:canary@h/x"]\n', "service.start: word 2 holds a password"),
        ('[service]\nstart = ["run"]\nrepository = "https://canary@h/x"\n', "service.repository: holds a login"),
        ('[service]\nstart = ["run"]\nrepository = "https://u:canary@h/x"\n', "service.repository: holds a login"),
        ('[service]\nstart = ["run"]\n[image]\nbase = "u:canary@h/x:1"\n', "image.base: holds a login"),
        ('[service]\nstart = ["run"]\n[publish]\nto = ["registry:u:canary@h/x"]\n', "publish.to: a registry target"),
        (
            '[service]\nstart = ["run"]\n[environments.e]\nto = ["pypi:https://u:canary@h"]\n',
            "environments.e.to: a pypi",
        ),
    ],
)
def test_no_login_enters_and_none_is_told(service: Path, toml: str, told: str) -> None:
    (service / "cdaf.toml").write_text(toml)
    found = faults(service)
    assert told in found
    assert "canary" not in found


@pytest.mark.parametrize(
    "line",
    [
        r'start = ["run", "a\u0000b"]',
        r'env = { A = "\u0000" }',
        'state = ["/app//x"]',
        'state = ["/app/x/"]',
        'state = ["/app/./x"]',
        r'state = ["/app/\n"]',
        f'name = "{"n" * 129}"',
        f'version = "1.{"0" * 99}"',
    ],
)
def test_what_no_image_can_hold_is_the_projects_fault(service: Path, line: str) -> None:
    start = "" if line.startswith("start") else 'start = ["run"]\n'
    (service / "cdaf.toml").write_text(f"[service]\n{start}{line}\n")
    assert faults(service)


def test_a_repository_with_a_port_or_an_ssh_user_is_no_login(service: Path) -> None:
    for url in ("https://h:8443/x", "ssh://git@h:22/x", "git@h:x/y.git", "https://h/x@y"):
        (service / "cdaf.toml").write_text(f'[service]\nstart = ["run"]\nrepository = "{url}"\n')
        assert read(service).settings.service.repository == url


def test_a_table_of_another_language_is_told(tmp_path: Path) -> None:
    root = makers.repository(
        tmp_path / "svc",
        {
            "pyproject.toml": '[project]\nname = "svc"\nversion = "1.0"\n',
            "uv.lock": "",
            "cdaf.toml": '[service]\nstart = ["svc"]\n[node]\nscripts = ["a"]\n[docker]\ncache = true\n',
        },
    )
    with pytest.raises(ProjectError) as raised:
        project.read(root)
    for name in ("node", "docker"):
        told = f"{name}: this table is for services whose language is {name}, and this one's is python"
        assert told in raised.value.message
    environ = {"CDAF_DOCKER_CACHE": "false"}
    (root / "cdaf.toml").write_text('[service]\nstart = ["svc"]\n')
    assert project.read(root, environ=environ).language == "python"


class Heard(progress.Silent):
    """What was warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    found = Heard()
    monkeypatch.setattr(progress, "_sink", found)
    return found


def warnings(heard: Heard, about: str) -> list[str]:
    return [each for each in heard.warned if about in each]


def test_a_tag_of_another_version_is_warned_of(service: Path, heard: Heard) -> None:
    makers.git(service, "tag", "vendor-import")
    read(service)
    assert not warnings(heard, "tagged")
    makers.git(service, "tag", "v9.9.9")
    assert not read(service).version.is_release
    assert warnings(heard, "the commit is tagged v9.9.9, and the project says 1.4.0")
    heard.warned.clear()
    makers.git(service, "tag", "v1.4.0")
    assert read(service).version.is_release
    assert not warnings(heard, "tagged")


@pytest.mark.parametrize("annotated", [False, True])
def test_a_version_is_released_once(service: Path, *, annotated: bool) -> None:
    makers.git(service, "tag", *(["-a", "-m", "x"] if annotated else []), "v1.4.0")
    assert read(service, release=True).version.is_release
    tagged = makers.git(service, "rev-parse", "HEAD")
    makers.commit(service)
    assert not read(service).version.is_release
    with pytest.raises(ProjectError, match=f"the tag v1.4.0 names commit {tagged[:12]}") as raised:
        read(service, release=True)
    assert raised.value.exit_code == 3
    assert "raise the version" in raised.value.hint


def test_files_that_nobody_added_are_named(service: Path, heard: Heard) -> None:
    read(service)
    assert not warnings(heard, "not tracked")
    makers.write(service, {".gitignore": "*.log\n", "app/util.py": "", "app/x.log": "", "app/__pycache__/a.pyc": ""})
    makers.write(service, {"other/x.py": "", "app/.util.py.swp": "", "app/util.py~": ""})
    read(service)
    assert warnings(heard, "not tracked by git, so not in the bundle: app/util.py; `git add` it")
    heard.warned.clear()
    makers.write(service, {f"app/{each}.py": "" for each in range(6)})
    read(service)
    assert warnings(heard, "app/0.py, app/1.py, app/2.py, app/3.py, app/4.py and 2 more; `git add` them")


def test_a_packages_own_sources_enter_without_an_include(service: Path, heard: Heard) -> None:
    makers.write(service, {"src/orders_api/new.py": "", "orders_api/new.py": "", "tests/new.py": ""})
    read(service)
    assert not warnings(heard, "not tracked")
    makers.write(service, {"pyproject.toml": PYPROJECT + "[build-system]\nrequires = []\n"})
    read(service)
    assert warnings(heard, "the bundle: orders_api/new.py, src/orders_api/new.py; `git add` them")


def test_checks_that_nobody_added_and_what_a_build_makes(service: Path, heard: Heard) -> None:
    makers.write(service, {"smoke/check.sh": ""})
    makers.commit(service)
    makers.write(service, {"smoke/more.sh": "", "app/made.js": ""})
    read(service)
    assert warnings(heard, "the bundle: app/made.js;")
    heard.warned.clear()
    more = '[smoke]\nchecks = ["sh", "smoke/check.sh"]\n[build]\nrun = [["make"]]\noutputs = ["app/made.js"]\n'
    makers.write(service, {"cdaf.toml": TOML + more})
    read(service)
    assert warnings(heard, "the bundle: smoke/more.sh;")
    assert not warnings(heard, "asks only")


def test_a_smoke_test_that_asks_nothing_is_warned_of(service: Path, heard: Heard) -> None:
    read(service)
    assert len(warnings(heard, "asks only that the container stays up")) == 1
    heard.warned.clear()
    with_port = TOML.replace("include", "port = 8000\ninclude")
    makers.write(service, {"cdaf.toml": with_port})
    read(service)
    assert warnings(heard, "asks only that something listens on the port")
    heard.warned.clear()
    makers.write(service, {"cdaf.toml": with_port + '[smoke]\nhealth = "/up"\n'})
    read(service)
    assert not heard.warned


def test_a_name_is_told_with_where_it_comes_from(service: Path) -> None:
    makers.write(service, {"pyproject.toml": PYPROJECT.replace("Orders_Api", "Svc!")})
    assert "service.name: is not set, and pyproject.toml's name 'svc!' cannot name an image" in faults(service)
    makers.write(service, {"cdaf.toml": TOML.replace("[service]", '[service]\nname = "Other!"')})
    assert "service.name: 'other!' cannot name an image" in faults(service)


POETRY = '[tool.poetry]\nname = "x"\n'


@pytest.mark.parametrize(
    ("files", "said", "hint"),
    [
        ({"pyproject.toml": POETRY, "package.json": "{}"}, "pyproject.toml has no [project] table", "migrate-to-uv"),
        ({"pyproject.toml": "[tool.ruff]\n"}, "pyproject.toml has no [project] table", "write that table"),
        ({"pyproject.toml": "[tool.ruff]\n", "composer.json": "{}"}, "no lockfile", "composer update --no-install"),
        ({"pyproject.toml": PYPROJECT, "requirements.txt": "x\n"}, "no lockfile", "run `uv lock`"),
        ({"requirements.txt": "x\n"}, "no lockfile", "run `uv init --bare && uv add -r requirements.txt`"),
        ({"requirements.txt": "x\n", "package.json": "{}"}, "no lockfile", "npm install --package-lock-only"),
        ({"go.mod": "module x\n"}, "no lockfile", "commit a lockfile, or a Dockerfile"),
    ],
)
def test_what_is_not_locked_is_told_how_to_lock_it(tmp_path: Path, files: dict[str, str], said: str, hint: str) -> None:
    root = makers.repository(tmp_path / "svc", {"cdaf.toml": TOML, **files})
    with pytest.raises(ProjectError) as raised:
        read(root)
    assert said in raised.value.message
    assert hint in raised.value.hint
    (root / "cdaf.toml").unlink()
    with pytest.raises(ProjectError) as begun:
        starter.look(root)
    assert said in begun.value.message
    assert hint in begun.value.hint
