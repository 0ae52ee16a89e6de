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
    checking.check(root)


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
    assert "packaged twice: sha256:" in done.stderr
    cdaf("verify", done.stdout.strip())


def test_a_build_that_gives_other_bytes_each_time(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc", RANDOM)
    told = cdaf("package", root, "--check", expect=3).stderr
    assert "cannot be reproduced" in told
    assert "deps/svc-1.4.0-py3-none-any.whl differs from one packaging to the next" in told


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
    for words, code in ((["show"], 2), (["show", "--files"], 2), (["verify"], 5), (["diff", made], 5)):
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
