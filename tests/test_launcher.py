"""The program inside a bundle: on every Python there is, in every way of starting it, with every fault."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cdaf.bundles import bundle
from cdaf.bundles import manifest as manifests
from cdaf.errors import BundleError
from tests import bundlekit
from tests.bundlefaults import FAULTS
from tests.bundlekit import LAUNCHER, names

ONE_LINER = "import sys,zipfile;exec(zipfile.ZipFile(sys.argv[1]).read('__main__.py'))"
PYTHONS = bundlekit.interpreters()


def run(*argv: str | Path, python: str = sys.executable, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *map(str, argv)], capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundlekit.sealed(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def ok(sealed: bundle.Bundle) -> str:
    return f"ok {sealed.identity}\n"


def test_it_stays_small() -> None:
    assert len(LAUNCHER.read_text(encoding="utf-8").splitlines()) < 400


def test_it_imports_the_standard_library_alone(sealed: bundle.Bundle, ok: str) -> None:
    done = run("-I", "-S", sealed.path, "verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, ok, "")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("start", [[], ["-c", ONE_LINER], [LAUNCHER]], ids=["itself", "one-liner", "file"])
def test_every_python_in_every_way_of_starting(
    sealed: bundle.Bundle, ok: str, python: str, start: Sequence[str], tmp_path: Path
) -> None:
    verified = run(*start, sealed.path, "verify", python=python)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, ok, "")
    shown = run(*start, sealed.path, "show", python=python)
    assert (shown.returncode, shown.stderr) == (0, "")
    unpacked = run(*start, sealed.path, "unpack", tmp_path / "new", python=python)
    assert (unpacked.returncode, unpacked.stdout, unpacked.stderr) == (0, "", "")
    assert files(tmp_path / "new") == {name: bundle.data(sealed, name) for name in sealed.members}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_from_its_own_folder_and_through_a_link(sealed: bundle.Bundle, ok: str, tmp_path: Path) -> None:
    assert run(sealed.path.name, "verify", cwd=sealed.path.parent).stdout == ok
    (tmp_path / "latest.cdaf").symlink_to(sealed.path)
    assert run(tmp_path / "latest.cdaf", "verify").stdout == ok


def test_show(sealed: bundle.Bundle, tmp_path: Path) -> None:
    said = run(sealed.path, "show").stdout
    for wanted in ("orders 1.4.0 (python)", sealed.identity, "flask 3.1.0", "python:3.13-slim@sha256:bbb", "1a2b3c4d"):
        assert wanted in said
    without = tmp_path / "tomllib.py"
    without.write_text("raise ImportError\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {ONE_LINER}"
    old = run("-c", program, sealed.path, "show").stdout
    assert manifests.decode(old.encode()) == sealed.manifest
    assert tomllib.loads(old)["format"] == 1


def test_sha256sum_agrees_with_what_is_unpacked(sealed: bundle.Bundle, tmp_path: Path) -> None:
    assert run(sealed.path, "unpack", tmp_path / "new").returncode == 0
    argv = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(argv, cwd=tmp_path / "new", capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"}], ids=str)
def test_unpacking_hangs_on_neither_locale_nor_umask(
    sealed: bundle.Bundle, tmp_path: Path, env: dict[str, str]
) -> None:
    done = run(sealed.path, "unpack", tmp_path / "new", env=os.environ | env, umask=0o077)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path / "new") == {name: bundle.data(sealed, name) for name in sealed.members}
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]}
    assert modes == {True: 0o755, False: 0o644}


def test_unpack_into_an_empty_folder_keeps_that_folder(sealed: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    inode = (tmp_path / "here").stat().st_ino
    assert run(sealed.path, "unpack", ".", cwd=tmp_path / "here").returncode == 0
    assert (tmp_path / "here").stat().st_ino == inode
    assert set(files(tmp_path / "here")) == set(sealed.members)
    assert run(sealed.path, "unpack", tmp_path / "some" / "where" / "new").returncode == 0
    assert set(files(tmp_path / "some" / "where" / "new")) == set(sealed.members)


def test_unpack_refuses_what_is_there(sealed: bundle.Bundle, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    for name in before:
        done = run(sealed.path, "unpack", tmp_path / name)
        assert (done.returncode, done.stdout) == (2, "")
        assert "not an empty folder" in done.stderr
    assert (names(tmp_path), names(tmp_path / "full")) == (before, ["mine"])
    done = run(sealed.path, "unpack", tmp_path / "file" / "new")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_disk_full_while_unpacking(sealed: bundle.Bundle, tmp_path: Path) -> None:
    # A file system of 16 KiB in a mount namespace of its own; see the same in test_bundle.
    mounted = 'mount -t tmpfs -o size=16k none "$0" && "$@"; echo $?; ls -A "$0"'
    argv = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounted, str(tmp_path)]
    argv += [sys.executable, str(sealed.path), "unpack", str(tmp_path / "new")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "75\n", f"a file system of its own could not be mounted, or: {done.stderr}"
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [[], ["verify", "x"], ["unpack"], ["unpack", ""], ["unpack", "a", "b"], ["colour"]])
def test_misuse(sealed: bundle.Bundle, words: list[str], tmp_path: Path) -> None:
    done = run(sealed.path, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
    assert not names(tmp_path)


def test_help(sealed: bundle.Bundle) -> None:
    for word in ("--help", "-h"):
        done = run(sealed.path, word)
        assert (done.returncode, done.stderr) == (0, "")
        assert "verify" in done.stdout
        assert ONE_LINER in done.stdout


def test_a_reader_that_goes_away(sealed: bundle.Bundle) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, sealed.path, "show"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle that takes some time to verify."""
    folder = tmp_path_factory.mktemp("heavy")
    with (folder / "large").open("wb") as file:
        file.truncate(300 << 20)
    path = bundlekit.sealed(folder, {"app/large": folder / "large"}).path
    yield path
    path.unlink()  # pytest keeps the folders of its last runs


@pytest.mark.parametrize("moment", ["verifying", "unpacking"])
def test_interrupted(heavy: Path, tmp_path: Path, moment: str) -> None:
    argv = [sys.executable, str(heavy), "unpack", str(tmp_path / "new")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not has_begun(moment, process.pid, tmp_path):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, said) == (130, b"")
    assert names(tmp_path) == []


def has_begun(moment: str, pid: int, folder: Path) -> bool:
    if moment == "unpacking":
        return any(name.startswith(".cdaf-part-") for name in names(folder))
    read = Path(f"/proc/{pid}/io").read_text(encoding="utf-8").split()[1]
    return int(read) > 10 << 20


def test_what_lies_in_the_bundle_is_not_imported(sealed: bundle.Bundle, tmp_path: Path) -> None:
    # No bundle of ours holds such a file; the launcher must tell, not run it.
    shadows = {
        f"{name}.py": b"print('ok sha256:evil')\nraise SystemExit(0)\n" for name in ("hashlib", "json", "struct")
    }
    path = tmp_path / "evil.cdaf"
    path.write_bytes(bundlekit.zipped(bundlekit.pieces(bundlekit.members() | shadows)))
    done = run(path, "verify")
    assert (done.returncode, done.stdout) == (5, "")
    assert "hashlib.py: not in a folder of this format" in done.stderr


# Faults.


def check(path: Path) -> list[str]:
    with path.open("rb") as file:
        faults: list[str] = bundlekit.launcher().check(file)[1]
        return faults


@pytest.mark.parametrize("fault", FAULTS)
def test_it_refuses_what_cdaf_refuses(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "faulty.cdaf"
    path.write_bytes(FAULTS[fault][0])
    faults = check(path)
    assert faults
    assert "".join(faults).isprintable(), "nothing of the file reaches the terminal unescaped"
    with pytest.raises(BundleError):
        bundle.open(path)


@pytest.mark.parametrize("fault", ["changed member", "missing member", "extra member", "gap between members"])
@pytest.mark.parametrize("python", PYTHONS)
def test_faults_in_a_process_of_its_own(tmp_path: Path, fault: str, python: str) -> None:
    path = tmp_path / "faulty.cdaf"
    path.write_bytes(FAULTS[fault][0])
    for words in (["verify"], ["show"], ["unpack", str(tmp_path / "new")]):
        done = run(path, *words, python=python)
        assert (done.returncode, done.stdout) == (5, "")
        assert "not an intact bundle" in done.stderr
        assert "app/" in done.stderr
    assert names(tmp_path) == ["faulty.cdaf"], "nothing is written before all is verified"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    members = bundlekit.members()
    parts = [one for one in bundlekit.pieces({**members, "app/gone": b""}) if one.name != b"app/gone"]
    by_name = {one.name: one for one in parts}
    by_name[b"app/orders.py"].data = b"changed"
    by_name[b"plan.json"].local = {4: 9}
    by_name[b"smoke/test_orders.py"].before = b"gap"
    (tmp_path / "x.cdaf").write_bytes(bundlekit.zipped([*parts, bundlekit.Piece(b"zzz/../x", b"")]))
    said = run(tmp_path / "x.cdaf", "verify").stderr
    for wanted in ("app/gone: missing", "app/orders.py: changed", "plan.json: its header", "zzz/../x: escapes"):
        assert wanted in said
    assert "smoke/test_orders.py: begins at byte" in said


@contextlib.contextmanager
def one_byte_changed(path: Path, place: int, value: int) -> Iterator[None]:
    with path.open("r+b", buffering=0) as file:
        old = os.pread(file.fileno(), 1, place)
        os.pwrite(file.fileno(), bytes([value]), place)
        yield
        os.pwrite(file.fileno(), old, place)


def changes(whole: bytes, places: Sequence[int], count: int, seed: int) -> Iterator[tuple[int, int]]:
    chance = random.Random(seed)
    for _ in range(count):
        place = chance.choice(places)
        yield place, chance.choice([value for value in range(256) if value != whole[place]])


def test_no_changed_byte_is_called_ok(tmp_path: Path) -> None:
    path = bundlekit.sealed(tmp_path).path
    whole = path.read_bytes()
    for place, value in changes(whole, range(len(whole)), 16, 3):
        with one_byte_changed(path, place, value):
            done = run(path, "verify")
        assert done.returncode != 0, (place, value)
        assert not done.stdout, (place, value)
        assert done.stderr


def test_a_damaged_launcher_never_succeeds(tmp_path: Path) -> None:
    made = bundlekit.sealed(tmp_path)
    whole = made.path.read_bytes()
    own = made.members["__main__.py"]
    for place, value in changes(whole, range(own.offset, own.offset + own.size), 300, 4):
        with one_byte_changed(made.path, place, value):
            code, said = damaged(made.path, own)
        assert code != 0, (place, value)
        assert "ok" not in said.split(), (place, value)


def damaged(path: Path, own: bundle.Member) -> tuple[object, str]:
    """Run the launcher as it stands in a file, here and now; Python's own errors are a failure like any other."""
    source = path.read_bytes()[own.offset : own.offset + own.size]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            namespace: dict[str, object] = {"__name__": "launcher"}
            exec(compile(source, "launcher", "exec"), namespace)
            code = namespace["main"]([str(path), "verify"])  # type: ignore[operator]
        except Exception as error:
            code = error
        except SystemExit as error:
            code = error.code
    return code, out.getvalue()
