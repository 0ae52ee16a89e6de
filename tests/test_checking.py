"""`cdaf check` and `cdaf package --check`: what is wrong before anything is fetched, and what differs when repeated."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cdaf.projects import pins
from tests import makers, pykit
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


def refusal(root: Path, *words: str, expect: int = 3, env: Mapping[str, str] = {}) -> str:
    """The error alone; `check` and `package` have to say the same."""
    told = [cdaf(verb, root, *words, expect=expect, env=env).stderr for verb in ("check", "package")]
    checked, packaged = (text[text.index("error: ") :] for text in told)
    assert checked == packaged
    return checked


def test_check_and_package_refuse_the_same_in_the_same_words(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    (root / "smoke").mkdir()
    (root / "smoke" / "test_it.py").write_text("")
    smoke = '[smoke]\nsidecars = ["postgre:17"]\nchecks = ["pytest", "-q", "smoke/"]\n'
    (root / "cdaf.toml").write_text(f'{CONFIG}{smoke}[publish]\nto = ["registri:h/x", "engine"]\n')
    told = refusal(root)
    assert told.startswith("error: cdaf.toml: 4 faults\n")
    assert "smoke.checks: 'smoke/' is nothing that git tracks: write the checks" in told
    assert "smoke.sidecars: 'postgre:17' is not one that cdaf knows, did you mean 'postgres'?" in told
    assert "publish.to: 'registri' is not a kind of target, did you mean 'registry'?" in told
    assert "publish.to: 'engine' lacks its colon" in told


def test_a_check_that_is_not_among_those_that_are_there(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(
        root, {"smoke/test_it.py": "", "cdaf.toml": f'{CONFIG}[smoke]\nchecks = ["pytest", "smoke/it.py::a"]\n'}
    )
    pykit.commit(root)
    assert "smoke.checks: 'smoke/it.py::a' is nothing that git tracks" in refusal(root)
    makers.write(root, {"cdaf.toml": f'{CONFIG}[smoke]\nchecks = ["pytest", "smoke/test_it.py::a"]\n'})
    cdaf("check", root)


def test_a_group_that_is_not_there_is_told_once(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(root, {"smoke/test_it.py": "", "cdaf.toml": f'{CONFIG}[smoke]\ngroup = "smok"\nchecks = ["pytest"]\n'})
    pykit.commit(root)
    for verb in ("check", "package"):
        told = cdaf(verb, root, expect=3).stderr
        assert "error: svc: smoke.group: 'smok' is no dependency group of pyproject.toml\n" in told
        assert told.count("smok'") == 1
        assert "`smok`" not in told
    makers.write(root, {"cdaf.toml": f'{CONFIG}[smoke]\ngroup = "Dev"\nchecks = ["pytest"]\n'})
    cdaf("check", root)


def test_a_program_that_cannot_be_in_the_image(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    makers.write(root, {"main.py": "", "cdaf.toml": CONFIG.replace('["svc"]', '["python", "-u", "main.py"]')})
    assert "service.start: 'main.py' is nothing that git tracks" in refusal(root)
    pykit.commit(root)
    assert "service.start: 'main.py' does not enter the image: name it in service.include" in refusal(root)
    included = CONFIG.replace('["svc"]', '["./main.py"]\ninclude = ["main.py"]')
    makers.write(root, {"cdaf.toml": included})
    cdaf("check", root)
    makers.write(root, {"cdaf.toml": CONFIG.replace('"svc"', '".venv/bin/svc"')})
    cdaf("check", root)
    makers.write(root, {"cdaf.toml": f'{included}[smoke]\nbefore = [["bin/migrate"], ["sh", "-c", "a.sh"]]\n'})
    assert refusal(root).startswith("error: cdaf.toml: smoke.before: 'bin/migrate' is nothing that git tracks")
    makers.write(root, {"cdaf.toml": f'{included}[smoke]\nbefore = [["bin/migrate"]]\n[build]\noutputs = ["bin/*"]\n'})
    cdaf("check", root)


def test_a_fault_names_the_flag_or_variable_that_it_came_from(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    told = cdaf("package", root, "--platform", "linux/riscv", expect=2).stderr
    assert "error: --platform: 'linux/riscv' is not one of linux/amd64, linux/arm64\n" in told
    assert "cdaf.toml" not in told
    told = refusal(root, env={"CDAF_IMAGE_PLATFORMS": "linux/riscv", "CDAF_SMOKE_TIMEOUT": "soon"})
    assert told.startswith("error: CDAF_SMOKE_TIMEOUT: expected a number, got text\n")
    told = refusal(root, env={"CDAF_IMAGE_PLATFORMS": "linux/riscv", "CDAF_SERVICE_STATE": "here"})
    assert told.startswith(
        "error: CDAF_SERVICE_STATE and CDAF_IMAGE_PLATFORMS: 2 faults\n  - CDAF_SERVICE_STATE: 'here'"
    )
    makers.write(root, {"cdaf.toml": f'{CONFIG}[publish]\nto = ["nokind:x"]\n'})
    told = cdaf("package", root, "--platform", "linux/riscv", expect=3).stderr
    assert "error: --platform and cdaf.toml: 2 faults\n  - --platform: 'linux/riscv' is not" in told
    assert "publish.to: 'nokind' is not a kind of target; there are layout, engine, registry, pypi" in told


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
    cdaf("package", root)
    assert makers.git(root, "status", "--porcelain", "--ignored=no") == ""
    assert sorted(path.name for path in (root / "dist").iterdir())[0] == ".gitignore"
    (root / "own").mkdir()
    cdaf("package", root, "--out", root / "own")
    assert [path.suffix for path in (root / "own").iterdir()] == [".cdaf"]
    assert makers.git(root, "status", "--porcelain") == "?? own/"


def test_a_folder_of_bundles_is_answered_with_their_names(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    made = Path(cdaf("package", root).stdout.strip())
    for words, code in (
        (["show"], 2),
        (["show", "--files"], 2),
        (["verify"], 5),
        (["release"], 5),
        (["diff", made], 5),
    ):
        told = cdaf(*words, made.parent, expect=code).stderr
        assert told.endswith(f"hint: name a bundle: {made}\n"), told
    assert cdaf("verify", root, expect=5).stderr.endswith(f"hint: name a bundle: {made}\n")
    assert "no cdaf.toml" in cdaf("show", made.parent, "--origins", expect=3).stderr
    assert cdaf("verify", tmp_path, expect=5).stderr.endswith("hint: name a .cdaf file\n")


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_that_is_a_file(tmp_path: Path, cache: Path, below: str) -> None:
    root = service(tmp_path / "svc")
    made = cdaf("package", root).stdout.strip()
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / below
    for words in (["package", root], ["image", made]):
        told = cdaf(*words, expect=2, env={"CDAF_CACHE": str(place)}).stderr
        assert f"error: the cache {place}" in told
        assert told.endswith("hint: set CDAF_CACHE to a folder that you may write to\n")
