"""`cdaf check` and `cdaf package --check`: what is wrong before anything is fetched, and what differs when repeated."""

from pathlib import Path

import pytest

from cdaf import flow
from cdaf.bundles import bundle
from cdaf.errors import ProjectError
from cdaf.projects import checking, pins
from tests import bundlekit, makers, pykit
from tests.acceptance import cdaf

CONFIG = '[service]\nstart = ["svc"]\n[image]\nbase = "scratch"\n'
RANDOM = pykit.BACKEND.replace(
    'files[f"{info}/WHEEL"]', "files['svc/random'] = os.urandom(9)\n    files[f\"{info}/WHEEL\"]"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def service(folder: Path, backend: str = pykit.BACKEND) -> Path:
    """A committed service whose locks are written by hand, so that no registry is asked."""
    pykit.service(folder, None, config=CONFIG, files={"backend/tiny.py": backend})
    base = pins.Base(reference="scratch", platform="linux/amd64", digest="", facts=pykit.FACTS)
    pins.write(pins.Pins(bases=(base,), builds=(pins.Build(key="svc", declared=()),)), folder / pins.NAME)
    pykit.commit(folder)
    return folder


def test_check_is_silent_on_stdout(tmp_path: Path, cache: Path) -> None:
    done = cdaf("check", service(tmp_path / "svc"))
    assert done.stdout == ""
    assert done.stderr.endswith(": no faults\n")
    assert not cache.exists() or not list(cache.glob("archives/*"))


def test_check_lists_the_faults_of_both_locks(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    manifest = root / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace("[build-system]", 'dependencies = ["more"]\n[build-system]'))
    (root / "cdaf.toml").write_text(CONFIG.replace('"scratch"', '"python:3.13-slim"'))
    told = cdaf("check", root, expect=3).stderr
    assert "more" in told
    assert "cdaf.lock: no pin of python:3.13-slim for linux/amd64" in told


def refusal(root: Path) -> str:
    """What is refused; `check` and `package` have to say the same."""
    with pytest.raises(ProjectError) as checked:
        checking.check(root)
    with pytest.raises(ProjectError) as packaged:
        flow.package(root, root / "dist")
    assert checked.value.message == packaged.value.message
    return checked.value.message


def test_check_and_package_refuse_the_same_in_the_same_words(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    (root / "smoke").mkdir()
    (root / "smoke" / "test_it.py").write_text("")
    smoke = '[smoke]\nsidecars = ["postgre:17"]\nchecks = ["pytest", "-q", "smoke/"]\n'
    (root / "cdaf.toml").write_text(f'{CONFIG}{smoke}[publish]\nto = ["registri:h/x", "engine"]\n')
    told = refusal(root)
    assert told.startswith("cdaf.toml: 4 faults\n")
    assert "smoke.checks: 'smoke/' is nothing that git tracks: write the checks" in told
    assert "smoke.sidecars: 'postgre:17' is not one that cdaf knows, did you mean 'postgres'?" in told
    assert "publish.to: 'registri' is not a kind of target, did you mean 'registry'?" in told
    assert "publish.to: 'engine' lacks its colon" in told


def test_a_check_that_is_not_among_those_that_are_there(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    checks = '[smoke]\nchecks = ["pytest", "smoke/it.py::a"]\n'
    makers.write(root, {"smoke/test_it.py": "", "cdaf.toml": CONFIG + checks})
    pykit.commit(root)
    assert "smoke.checks: 'smoke/it.py::a' is nothing that git tracks" in refusal(root)
    makers.write(root, {"cdaf.toml": f'{CONFIG}[smoke]\nchecks = ["pytest", "smoke/test_it.py::a"]\n'})
    checking.check(root)


def test_a_group_that_is_not_there_is_told_once(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(root, {"smoke/test_it.py": "", "cdaf.toml": f'{CONFIG}[smoke]\ngroup = "smok"\nchecks = ["pytest"]\n'})
    pykit.commit(root)
    assert refusal(root) == "svc: smoke.group: 'smok' is no dependency group of pyproject.toml"
    told = cdaf("package", root, expect=3).stderr
    assert told.count("smok") == 1 + told.count("smoke")
    makers.write(root, {"cdaf.toml": f'{CONFIG}[smoke]\ngroup = "Dev"\nchecks = ["pytest"]\n'})
    assert refusal(root) == "Group `dev` is not defined in the project"


def test_a_program_that_cannot_be_in_the_image(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(root, {"main.py": "", "cdaf.toml": CONFIG.replace('["svc"]', '["python", "-u", "main.py"]')})
    assert "service.start: 'main.py' is nothing that git tracks" in refusal(root)
    pykit.commit(root)
    assert "service.start: 'main.py' does not enter the image: name it in service.include" in refusal(root)
    included = CONFIG.replace('["svc"]', '["./main.py"]\ninclude = ["main.py"]')
    smoke = '[smoke]\nbefore = [["bin/migrate"], ["sh", "-c", "a.sh"]]\n'
    makers.write(root, {"cdaf.toml": included + smoke})
    assert refusal(root).startswith("cdaf.toml: smoke.before: 'bin/migrate' is nothing that git tracks")
    outputs = '[build]\noutputs = ["bin/*"]\n'
    for allowed in (included, included + smoke + outputs, CONFIG.replace('"svc"', '".venv/bin/svc"')):
        makers.write(root, {"cdaf.toml": allowed})
        checking.check(root)


def test_a_fault_names_the_flag_or_variable_that_it_came_from(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = service(tmp_path / "svc")
    told = cdaf("package", root, "--platform", "linux/riscv", expect=2).stderr
    assert "error: --platform: 'linux/riscv' is not one of linux/amd64, linux/arm64\n" in told
    assert "cdaf.toml" not in told
    makers.write(root, {"cdaf.toml": f'{CONFIG}[publish]\nto = ["nokind:x"]\n'})
    with pytest.raises(ProjectError) as raised:
        flow.package(root, root / "dist", flags={"image.platforms": ("linux/riscv",)})
    told = raised.value.message
    assert told.startswith("--platform and cdaf.toml: 2 faults\n  - --platform: 'linux/riscv' is not")
    assert "publish.to: 'nokind' is not a kind of target; there are layout, engine, registry, pypi" in told
    makers.write(root, {"cdaf.toml": CONFIG})
    monkeypatch.setenv("CDAF_IMAGE_PLATFORMS", "linux/riscv")
    monkeypatch.setenv("CDAF_SERVICE_STATE", "here")
    told = refusal(root)
    assert told.startswith("CDAF_SERVICE_STATE and CDAF_IMAGE_PLATFORMS: 2 faults\n  - CDAF_SERVICE_STATE: 'here'")
    monkeypatch.setenv("CDAF_SMOKE_TIMEOUT", "soon")
    assert refusal(root) == "CDAF_SMOKE_TIMEOUT: expected a number, got text"


@pytest.mark.parametrize(
    "login", ["https://me:hunter22@host/x", "me:hunter22@host/image", "me:p@hunter22@h:1/postgres:17"]
)
def test_a_login_in_an_image_s_name_is_not_told(tmp_path: Path, cache: Path, login: str) -> None:
    root = service(tmp_path / "svc")
    compose = f'services:\n  other:\n    image: "{login}"\n'
    config = f'{CONFIG.replace("scratch", login)}[smoke]\nsidecars = ["{login}"]\ncompose = ["other.yaml"]\n'
    makers.write(root, {"other.yaml": compose, "cdaf.toml": config})
    pykit.commit(root)
    told = refusal(root)
    assert "hunter22" not in told
    assert told.count("holds a login; it comes from the engine's own configuration") == 3


def test_a_build_that_keeps_up(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    done = cdaf("package", root, "--check")
    assert "packaged twice, in unlike conditions: sha256:" in done.stderr
    cdaf("verify", done.stdout.strip())


def writing(expression: str) -> str:
    """A backend that writes what an expression gives into the wheel."""
    line = f"files['svc/_built.py'] = f'made = {{{expression}!r}}\\n'.encode()\n    files[f\"{{info}}/WHEEL\"]"
    return pykit.BACKEND.replace('files[f"{info}/WHEEL"]', line, 1).replace(
        "import base64", "import platform, time, base64"
    )


@pytest.mark.slow
def test_a_build_that_gives_other_bytes_each_time(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc", RANDOM)
    told = cdaf("package", root, "--check", expect=3).stderr
    assert "cannot be reproduced" in told
    wheel = "deps/svc-1.4.0-py3-none-any.whl"
    assert f"{wheel} differs from one packaging to the next: svc/random: other bytes from offset 0 on" in told
    assert "hint: make the service's build command give the same bytes each time" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "reason", "hint"),
    [
        ("time.time()", "it holds the time, line 1 is 'made = 1", "take the time from SOURCE_DATE_EPOCH"),
        ("time.strftime('%Y-%m-%dT%H:%M:%S')", "it holds the time, line 1 is '", "take the time"),
        ("platform.node()", "it holds the host's name, line 1 is ", "write nothing that holds the host's name"),
    ],
)
def test_what_a_build_writes_that_it_should_not(
    tmp_path: Path, cache: Path, expression: str, reason: str, hint: str
) -> None:
    root = service(tmp_path / "svc", writing(expression.replace("'", '"')))
    told = cdaf("package", root, "--check", expect=3).stderr.replace("\\'", "'").replace('"', "'")
    assert "svc/_built.py: " + reason in told
    assert f"hint: {hint}" in told
    site = "/app/.venv/lib/python3.13/site-packages"
    assert f"layer service of linux/amd64: {site}/svc/_built.py (svc) has another content" in told


@pytest.mark.slow
def test_what_stands_in_the_work_tree_is_what_is_packaged_again(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(root, {"src/svc/__init__.py": "changed = 1\n", "src/svc/new.py": "added = 1\n"})
    makers.git(root, "add", "src/svc/new.py")
    makers.write(root, {"notes.txt": "not tracked"})
    done = cdaf("package", root, "--check")
    assert "packaged twice" in done.stderr
    assert bundle.open(Path(done.stdout.strip())).manifest.source.dirty


@pytest.mark.slow
def test_a_second_packaging_that_fails_says_so(tmp_path: Path, cache: Path) -> None:
    once = f"if os.uname().nodename == {'elsewhere'!r}: raise SystemExit('not here')\n    project ="
    root = service(tmp_path / "svc", pykit.BACKEND.replace("project =", once, 1))
    told = cdaf("package", root, "--check", expect=3).stderr
    assert "packaged a second time, in another folder and from nothing, it fails: svc cannot be built" in told
    assert "not here" in told


CLOCK = """\
[service]
start = ["svc"]
[build]
run = [["sh", "-c", "mkdir -p static && date -Ins > static/stamp.txt"]]
outputs = ["static/**"]
"""


@pytest.mark.docker
def test_a_service_whose_own_build_writes_the_time(tmp_path: Path, shared: Path) -> None:
    root = tmp_path / "svc"
    pykit.service(root, None, config=CLOCK)
    cdaf("lock", root)
    pykit.commit(root)
    told = cdaf("package", root, "--platform", "linux/amd64", "--check", expect=3).stderr
    assert (
        "generated/build/static/stamp.txt differs from one packaging to the next: it holds the time, line 1 is" in told
    )
    assert "layer service of linux/amd64: /app/static/stamp.txt (svc) has another content" in told
    assert "hint: take the time from SOURCE_DATE_EPOCH" in told


def test_the_folder_that_a_bundle_goes_to_is_git_s_to_pass_over_when_it_is_made_for_it(
    tmp_path: Path, cache: Path
) -> None:
    root = service(tmp_path / "svc")
    flow.package(root, root / "dist")
    assert makers.git(root, "status", "--porcelain") == ""
    assert sorted(path.name for path in (root / "dist").iterdir())[0] == ".gitignore"
    (root / "own").mkdir()
    flow.package(root, root / "own")
    assert [path.suffix for path in (root / "own").iterdir()] == [".cdaf"]
    assert makers.git(root, "status", "--porcelain") == "?? own/"


def test_a_folder_of_bundles_is_answered_with_their_names(tmp_path: Path) -> None:
    made = bundlekit.sealed(tmp_path / "dist").path
    for words, code in ((["show"], 2), (["show", "--files"], 2), (["verify"], 5), (["diff", made], 2)):
        told = cdaf(*words, made.parent, expect=code).stderr
        assert told.endswith(f"hint: name a bundle: {made}\n"), told
    assert bundle.hint_of(tmp_path) == f"name a bundle: {made}"
    assert bundle.hint_of(made) == "name a .cdaf file"
    for number in range(9):
        (made.parent / f"0{number}.cdaf").touch()
    assert bundle.hint_of(tmp_path).endswith("/04.cdaf or one of 5 more")
    assert "no cdaf.toml" in cdaf("show", made.parent, "--origins", expect=3).stderr


def test_a_cache_that_is_a_file(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    made = flow.package(root, root / "dist").path
    (tmp_path / "file").write_text("")
    for verb, what, place in (("package", root, tmp_path / "file"), ("image", made, tmp_path / "file" / "deeper")):
        told = cdaf(verb, what, expect=2, env={"CDAF_CACHE": str(place)}).stderr
        assert f"error: the cache {place}" in told
        assert told.endswith("hint: set CDAF_CACHE to a folder that you may write to\n")
