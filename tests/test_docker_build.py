"""Dockerfile services on the package side: what a build is given, what comes out, and what is refused."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cdaf import engine
from cdaf.bundles import bundle
from cdaf.engine import builds
from cdaf.errors import EngineError, ProjectError, ResolveError
from cdaf.projects import locking, pins, project
from tests import dockerkit, makers
from tests.acceptance import cdaf
from tests.dockerkit import PYTHON, again, package, paths, service
from tools import serve

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("shared")]


def lock(root: Path) -> Path:
    found = project.read(root)
    pins.write(locking.make(found, None), locking.path(found))
    makers.commit(root)
    return root


def refused(root: Path, kind: type[Exception] = ProjectError) -> str:
    with pytest.raises(kind) as caught:
        package(root)
    assert not list(root.glob("dist/*"))
    return str(caught.value)


def test_the_same_bytes_warm_elsewhere_and_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lock(service(tmp_path / "one", files={"run": "#!/bin/sh\n"}))
    first, warm = package(root), package(root)
    assert first.identity == warm.identity
    other = package(lock(service(tmp_path / "two", files={"run": "#!/bin/sh\n"})))
    assert other.identity == first.identity
    time.sleep(1.1)  # what is built now has another second
    assert again(root, monkeypatch, tmp_path / "cache").identity == first.identity
    assert not dockerkit.left_by(os.getpid())


def test_the_manifest_tells_what_was_built_and_how(tmp_path: Path) -> None:
    made = package(lock(service(tmp_path, more="[docker]\nnetwork = false\n")))
    [image] = made.manifest.images
    assert (image.sealed, image.network) == (True, False)
    assert [each.name for each in image.layers] == ["COPY /made /made", "COPY hello /hello"]
    assert [(each.reference, each.role) for each in made.manifest.bases] == [(PYTHON, "build")]
    told = made.manifest.service
    assert (told.start, told.user, told.uid, told.language) == (("/made",), "10001", 10001, "docker")
    assert bundle.data(made, "locks/Dockerfile") == dockerkit.TINY.encode()
    assert made.plans.images == ()
    assert paths(made) == {"/made": "0644", "/hello": "0644"}
    defaulted = package(lock(service(tmp_path / "on", "FROM scratch\nCOPY hello /\n")))
    assert defaulted.manifest.images[0].network is True


def test_a_commit_that_changes_nothing_of_the_image_keeps_its_layers(tmp_path: Path) -> None:
    root = lock(service(tmp_path, dockerkit.TINY, files={"README.md": "one", ".dockerignore": "README.md\n"}))
    first = package(root)
    makers.write(root, {"README.md": "two"})
    makers.commit(root)
    second = package(root)
    assert first.manifest.images[0].layers == second.manifest.images[0].layers


def test_the_base_s_own_layers_stay_as_its_registry_has_them(tmp_path: Path) -> None:
    made = package(lock(service(tmp_path, f"FROM {PYTHON}\nCOPY hello /hello\n")))
    [base] = [each for each in made.manifest.bases if each.role == "image"]
    assert base.reference == PYTHON
    [image] = made.manifest.images
    assert len(image.layers) == 1
    assert base.digest.startswith("sha256:")
    assert "python3" in " ".join(made.manifest.service.start)  # inherited from there


def test_the_context_is_what_git_tracks_below_the_service(tmp_path: Path) -> None:
    files = {"data/a": "a", "data/b.log": "b", "data/run": "x", ".dockerignore": "**/*.log\n", "link": "x"}
    root = service(tmp_path, "FROM scratch\nCOPY . /all/\n", files=files)
    (root / "link").unlink()
    (root / "link").symlink_to("data/a")
    makers.git(root, "update-index", "--chmod=+x", "data/run")
    makers.git(root, "add", "link")
    makers.git(root, "commit", "-q", "-m", "modes")
    makers.write(root, {"untracked": "never", ".env": "PASSWORD=never"})
    made = package(root)
    found = paths(made)
    assert found["/all/data/run"] == "0755"
    assert found["/all/data/a"] == "0644"
    assert not {"/all/data/b.log", "/all/untracked", "/all/.env", "/all/cdaf.lock"} & set(found)


def test_what_has_changed_is_sent_even_where_its_size_has_not(tmp_path: Path) -> None:
    """BuildKit looks no further than at a file's name, size, mode and time, and cdaf fixes the time."""
    text = f"FROM {PYTHON} AS one\nRUN echo %s > /made\nFROM scratch\nCOPY --from=one /made /\n"
    text += "COPY data* /\nCOPY --from=lib . /\n"
    more = '[docker.contexts]\nlib = "lib"\n'
    files = {"data": "aaaa1111", "data.no": "", "lib/part": "aaaa1111", ".dockerignore": "**/*.no\n"}
    root = lock(service(tmp_path, text % "one", more, files))
    first = package(root)
    assert {dockerkit.content(first, name) for name in ("data", "part")} == {b"aaaa1111"}
    assert "/data.no" not in paths(first)
    for changed in ({"data": "bbbb2222"}, {"lib/part": "bbbb2222"}, {"Dockerfile": text % "two"}):
        makers.write(root, changed)
        makers.commit(root)
        made = package(root)
        for name in ("data", "lib/part"):
            assert dockerkit.content(made, Path(name).name) == (root / name).read_bytes()
    assert dockerkit.content(made, "made") == b"two\n"
    makers.write(root, {".dockerignore": "**/*.on\n"})
    makers.commit(root)
    assert "/data.no" in paths(package(root))


def test_shared_folders_by_an_allow_list(tmp_path: Path) -> None:
    """Only what is listed is sent, from the repository's root; everything else stays where it is."""
    root = tmp_path / "services" / "api"
    files = {
        "services/api/Dockerfile": "FROM scratch\nCOPY services/api/main /main\nCOPY shared /shared\n",
        "services/api/cdaf.toml": f'{dockerkit.CONFIG}[docker]\ncontext = ["services/api/main", "shared/**"]\n',
        "services/api/main": "main",
        "shared/one": "1",
        "shared/deep/two": "2",
        "huge/never": "x" * 1000,
    }
    makers.repository(tmp_path, files)
    made = package(root)
    assert paths(made).keys() == {"/main", "/shared/one", "/shared/deep/two"}
    (tmp_path / "shared" / "one").write_text("changed")
    assert package(root).manifest.source.dirty
    everything = root / "cdaf.toml"
    everything.write_text(everything.read_text().replace('"services/api/main"', '"nowhere/**", "../x"'))
    makers.commit(tmp_path)
    told = refused_after(root)
    assert "docker.context: 'nowhere/**' matches nothing that git tracks" in told
    assert "docker.context: '../x' is no pattern" in told


def refused_after(root: Path, kind: type[Exception] = ProjectError) -> str:
    for each in root.glob("dist/*"):
        each.unlink()
    return refused(root, kind)


def test_named_contexts(tmp_path: Path) -> None:
    text = "FROM base AS b\nFROM scratch\nCOPY --from=lib . /lib/\nCOPY --from=b /etc/debian_version /\nCOPY hello /\n"
    more = f'[docker.contexts]\nlib = "libraries/one"\nbase = "docker-image://{PYTHON}"\n'
    root = service(tmp_path, text, more, {"libraries/one/a": "a", "libraries/two/b": "b"})
    made = package(root)
    assert paths(made).keys() == {"/lib/a", "/debian_version", "/hello"}
    [archive] = pins.read(root / pins.NAME).archives  # type: ignore[union-attr]
    assert (archive.name, archive.version) == ("docker.io/library/python", "3.13-slim")


def test_arguments_target_and_file(tmp_path: Path) -> None:
    text = (
        "ARG V\nFROM python:$V AS one\nARG WORD=no\nRUN echo $WORD > /word\n"
        "FROM scratch AS two\nCOPY --from=one /word /\nFROM broken:never\n"
    )
    more = '[docker]\nfile = "build/Dockerfile.api"\ntarget = "two"\nargs = { V = "3.13-slim", WORD = "yes" }\n'
    root = service(tmp_path, "FROM nothing-here\n", more, {"build/Dockerfile.api": text})
    made = package(root)
    assert dockerkit.content(made, "word") == b"yes\n"


def test_cache_mounts_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        f"FROM {PYTHON} AS one\nRUN --mount=type=cache,target=/cache --mount=type=secret,id=API_TOKEN "
        "sha256sum < /run/secrets/API_TOKEN > /sum\nFROM scratch\nCOPY --from=one /sum /\n"
    )
    root = lock(service(tmp_path, text, '[docker]\nsecrets = ["API_TOKEN"]\n'))
    monkeypatch.delenv("API_TOKEN", raising=False)
    assert "docker.secrets: API_TOKEN is not set" in refused(root)
    monkeypatch.setenv("API_TOKEN", "canary-7f3a91")
    made = package(root)
    assert len(dockerkit.content(made, "sum").split()[0]) == 64
    assert b"canary-7f3a91" not in made.path.read_bytes()


def test_a_secret_that_a_failing_build_prints_is_blanked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"FROM {PYTHON}\nRUN --mount=type=secret,id=API_TOKEN cat /run/secrets/API_TOKEN && exit 3\n"
    root = lock(service(tmp_path, text, '[docker]\nsecrets = ["API_TOKEN"]\n'))
    monkeypatch.setenv("API_TOKEN", "canary-55d1")
    with pytest.raises(ResolveError) as caught:
        package(root)
    assert "canary-55d1" not in f"{caught.value} {caught.value.output} {caught.value.hint}"
    assert "***" in caught.value.output


def test_the_steps_of_a_build_are_told_once_and_not_what_they_say(tmp_path: Path, mirror: str) -> None:
    del mirror
    word = f"said-{os.getpid()}"
    text = f"FROM {PYTHON} AS one\nRUN for i in 1 2; do echo {word}-$i; done\nFROM scratch\nCOPY --from=one /bin/sh /\n"
    told = cdaf("package", lock(service(tmp_path, text))).stderr
    lines = [line.partition(": ")[2] for line in told.splitlines() if line.startswith("  building for linux/")]
    assert [line for line in lines if line.startswith("[one ") and "RUN for i in 1 2; do echo" in line]
    assert [line for line in lines if line.startswith("[stage-1 1/1] COPY --from=one /bin/sh /")]
    assert len({*lines}) == len(lines)
    assert f"{word}-1" not in told


def test_a_secret_in_the_name_of_a_step_is_blanked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable's name tells nobody that it is one: only [docker] secrets does."""
    text = f"FROM {PYTHON} AS one\nRUN echo canary-90b3 > /made\nFROM scratch\nCOPY --from=one /made /\n"
    root = lock(service(tmp_path, text, '[docker]\nsecrets = ["WORD"]\n'))
    monkeypatch.setenv("WORD", "canary-90b3")
    told = cdaf("package", root).stderr
    assert "RUN echo *** > /made" in told
    assert "canary-90b3" not in told


def test_without_network_a_build_reaches_nobody(tmp_path: Path) -> None:
    probe = "import os; print(sorted(os.listdir('/sys/class/net')))"
    text = f'FROM {PYTHON} AS one\nRUN python3 -c "{probe}" > /net\nFROM scratch\nCOPY --from=one /net /\n'
    assert dockerkit.content(package(service(tmp_path / "on", text)), "net") != b"['lo']\n"
    off = service(tmp_path / "off", text, "[docker]\nnetwork = false\n")
    assert dockerkit.content(package(off), "net") == b"['lo']\n"
    fetch = f"FROM {PYTHON}\nRUN python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 3)\"\n"
    with pytest.raises(ResolveError) as caught:
        package(lock(service(tmp_path / "fetching", fetch, "[docker]\nnetwork = false\n")))
    assert "Network is unreachable" in caught.value.output
    assert caught.value.exit_code == 4


def test_without_network_nothing_is_added_from_elsewhere(tmp_path: Path) -> None:
    text = "FROM scratch\nADD https://user:pass@files.example/a /a\n"
    root = service(tmp_path, text, "[docker]\nnetwork = false\n")
    told = cdaf("check", root, expect=3).stderr
    assert "docker.network: it is false, and Dockerfile adds https://" in told
    assert "pass@" not in told


def test_the_images_it_builds_on_are_pinned(tmp_path: Path, mirror: str) -> None:
    root = lock(service(tmp_path))
    text = (root / pins.NAME).read_text()
    digest = re.findall(r'version = "3.13-slim"\nhash = "(sha256:[0-9a-f]+)"', text)
    assert len(digest) == 1
    (root / pins.NAME).write_text(re.sub(r"\[\[archives\]\][^\[]+", "", text))
    assert f"no hash of {PYTHON}" in refused(root)
    found = project.read(root)
    again = locking.make(found, pins.read(root / pins.NAME))
    assert [each.hash for each in again.archives] == digest
    del mirror


def test_an_image_that_no_registry_has(tmp_path: Path) -> None:
    root = service(tmp_path / "one", "FROM cdaf-has-none:1\nCOPY hello /\n")
    with pytest.raises(ResolveError, match="cdaf-has-none:1 cannot be had"):
        package(root)
    more = '[docker]\nargs = { BUILDKIT_SYNTAX = "cdaf-has-none:2" }\n'
    with pytest.raises(ResolveError, match="cdaf-has-none:2 cannot be had"):
        package(service(tmp_path / "two", more=more))


def test_cache_from_is_chosen_by_asking_the_registry(tmp_path: Path, registry: serve.Registry) -> None:
    where = f"{registry.authority}/tiny"
    more = f'[docker]\ncache_to = "inline"\ncache_from = ["{where}:none", "{where}:latest"]\n'
    text = f"FROM {PYTHON}\nCOPY hello /srv/hello\nCMD python3 -m http.server -d /srv 8000\n"
    told = '[smoke]\nhealth = "/hello"\n[publish]\nmoving = ["latest"]\n'
    root = lock(service(tmp_path, text, more + told, config=f"{dockerkit.CONFIG}port = 8000\n"))
    done = cdaf("package", root, "--release")
    assert f"docker.cache_from: none of {where}:none, {where}:latest is there yet" in done.stderr
    made = Path(done.stdout.strip())
    assert b"moby.buildkit.cache.v0" in made.read_bytes()
    cdaf("release", made, "--to", f"registry:{where}")
    makers.write(root, {"Dockerfile": f"{text}RUN exit 3\n"})
    makers.commit(root)
    done = cdaf("package", root, expect=4)
    assert f"importing cache manifest from {where}:latest" in done.stderr
    assert "none of" not in done.stderr


def test_an_inline_cache_is_the_same_when_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lock(service(tmp_path / "svc", more='[docker]\ncache_to = "inline"\n'))
    first = package(root)
    time.sleep(1.1)
    assert again(root, monkeypatch, tmp_path / "cache").identity == first.identity


def test_a_cache_that_this_engine_cannot_write(tmp_path: Path, registry: serve.Registry) -> None:
    root = lock(service(tmp_path, more=f'[docker]\ncache_to = "{registry.authority}/tiny:cache"\n'))
    with pytest.raises(EngineError, match="cannot do this") as caught:
        package(root)
    assert 'cache_to = "inline"' in caught.value.hint


@pytest.mark.slow
def test_a_cache_in_a_registry_serves_another_machine(
    tmp_path: Path, registry: serve.Registry, fresh_engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All stages go there, and serve a commit of another image: the step of the first never says the same twice."""
    where = f"{registry.authority}/tiny:cache"
    first = f"FROM {PYTHON} AS one\nRUN cat /proc/sys/kernel/random/uuid > /made\n"
    text = f"{first}FROM scratch\nCOPY hello /\nCOPY --from=one /made /\n"
    root = lock(service(tmp_path / "svc", text, f'[docker]\ncache_to = "{where}"\ncache_from = ["{where}"]\n'))
    made = []
    for machine in ("one", "another", "without"):
        fresh_engine(containerd=True)
        makers.write(root, {"hello": machine})
        makers.commit(root)
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / machine))
        monkeypatch.setenv("CDAF_DOCKER_CACHE", str(machine != "without").lower())
        packaged = package(root)
        assert dockerkit.content(packaged, "hello").decode() == machine
        made.append(dockerkit.content(packaged, "made"))
    assert made[0] == made[1] != made[2]


def test_another_builder_hands_its_image_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody serves: how it is asked is all that can be seen without BuildKit's own image."""
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    create = ["docker", "buildx", "create", "--driver", "remote", "--name", "elsewhere", "tcp://127.0.0.1:9"]
    subprocess.run(create, check=True, capture_output=True)
    monkeypatch.setenv("BUILDX_BUILDER", "elsewhere")
    into = builds._into("made:1")
    assert into == ["--load", "--tag", "made:1"]
    wanted = engine.Build(tmp_path, tmp_path / "Dockerfile", "linux/amd64", cache_to="registry.example/a:cache")
    words = builds._command(wanted, {}, into)
    assert words[words.index("--cache-to") + 1] == "type=registry,ref=registry.example/a:cache,mode=max"
    monkeypatch.delenv("BUILDX_BUILDER")
    assert builds._into("made:1") == ["--output", "type=image,name=made:1"]


@pytest.mark.parametrize(
    ("dockerfile", "more", "kind", "told"),
    [
        (f"FROM {PYTHON}\nRUN echo before; exit 7\n", "", ResolveError, "exit code: 7"),
        ("FROM scratch\nCOPY nowhere /\n", "", ResolveError, "nowhere"),
        ("FROM scratch\nCOPY hello /\nENV API_TOKEN=abcdef\n", "", ProjectError, "ENV API_TOKEN looks like a secret"),
        ("FROM scratch\nCOPY hello /\nHEALTHCHECK --nonsense CMD x\n", "", ProjectError, "nonsense"),
    ],
)
def test_a_build_that_fails(tmp_path: Path, dockerfile: str, more: str, kind: type[Exception], told: str) -> None:
    root = lock(service(tmp_path, dockerfile, more))
    assert told in refused(root, kind)
    assert not dockerkit.left_by(os.getpid())


@pytest.mark.parametrize(
    "command",
    [
        'grep -q "connection refused" /etc/passwd',
        "false # or failed to parse",
        'echo "it is not supported by the buildx we have"; exit 1',
        "printf 'x\\rERROR: dockerfile parse error\\n\\fERROR: i/o timeout\\n'; exit 1",
    ],
)
def test_what_a_failing_step_says_is_not_taken_for_buildkit_s_own_word(tmp_path: Path, command: str) -> None:
    root = lock(service(tmp_path, f"FROM {PYTHON}\nRUN {command}\n"))
    with pytest.raises(ResolveError, match="did not complete successfully: exit code: 1") as caught:
        package(root)
    assert (caught.value.exit_code, caught.value.transient) == (4, False)


def test_a_path_of_that_name_is_not_the_network_s_fault(tmp_path: Path) -> None:
    root = lock(service(tmp_path, 'FROM scratch\nCOPY ["connection refused", "/"]\n'))
    with pytest.raises(ResolveError, match="connection refused") as caught:
        package(root)
    assert not caught.value.transient


def test_an_image_that_only_the_build_tells_of_is_refused(tmp_path: Path) -> None:
    text = f"ARG NAME=v{PYTHON}\nFROM ${{NAME#v}} AS one\nFROM scratch\nCOPY --from=one /etc/debian_version /\n"
    root = lock(service(tmp_path, text))
    assert f"it takes docker.io/library/{PYTHON}, which is not pinned" in refused(root)
    assert not dockerkit.left_by(os.getpid())
    assert "which is not pinned" in refused(root)  # nor is it kept
    more = f'[docker.contexts]\n"{PYTHON}" = "docker-image://{PYTHON}"\n'
    makers.write(root, {"cdaf.toml": dockerkit.CONFIG + more})
    makers.commit(root)
    assert paths(package(lock(root))).keys() == {"/debian_version"}


def test_all_faults_of_the_settings_at_once(tmp_path: Path) -> None:
    config = """
        [service]
        name = "tiny"
        version = "1.0.0"
        start = ["main"]
        env = { A = "b" }
        state = ["/state"]
        [build]
        run = [["make"]]
        [image]
        base = "python:3.13-slim"
        bytecode = false
        [docker]
        target = "none"
        args = { API_TOKEN = "abc", "1x" = "y", VARIANT = "z" }
        cache_from = ["user:secret@registry.example/x"]
        cache_to = "UPPER CASE"
        contexts = { Odd = "x", up = "../y", far = "https://example.invalid/z", bad = "docker-image://A@b" }
        secrets = ["A B"]
    """
    root = service(tmp_path, config=config, files={"main": ""})
    (root / "out").symlink_to("/etc/passwd")
    makers.commit(root)
    done = cdaf("check", root, expect=3)
    for part in (
        "service.start: the Dockerfile says it, by ENTRYPOINT and CMD",
        "service.env: the Dockerfile says it, by ENV",
        "service.state: ",
        "build.run: ",
        "image.base: the Dockerfile says it, by FROM",
        "image.bytecode: ",
        "docker.args.API_TOKEN: looks like a secret",
        "docker.args: '1x' is not an argument's name",
        "docker.args.VARIANT: no ARG of Dockerfile takes it",
        "docker.cache_from: holds a login",
        "docker.cache_to: image reference 'UPPER CASE'",
        "docker.contexts: 'Odd' cannot name a context",
        "docker.contexts.up: '../y' is no folder of the repository",
        "docker.contexts.far: https:// is neither",
        "docker.contexts.bad: image reference",
        "docker.secrets: 'A B' is not a variable's name",
        "docker.context: out is a symbolic link out of the context, to /etc/passwd",
        "docker.target: Dockerfile has no stage none, only build, 1",
    ):
        assert part in done.stderr, part
    assert "secret@" not in done.stderr


@pytest.mark.parametrize(
    ("file", "told"),
    [(None, "no lockfile here or above"), ("", "it has no FROM"), ("FORM x\n", "line 1: unknown instruction FORM")],
)
def test_no_dockerfile_or_a_broken_one(tmp_path: Path, file: str | None, told: str) -> None:
    root = service(tmp_path, file or "")
    if file is None:
        makers.git(root, "rm", "-q", "Dockerfile")
        makers.commit(root)
    assert told in cdaf("package", root, expect=3).stderr
    assert not (root / "dist").exists()


def test_a_dockerfile_that_git_does_not_track(tmp_path: Path) -> None:
    root = lock(service(tmp_path))
    makers.git(root, "rm", "-q", "--cached", "Dockerfile")
    makers.git(root, "commit", "-q", "-m", "gone")
    assert "docker.file: Dockerfile is not tracked by git: `git add` it" in refused(root)


def test_a_platform_that_does_not_run_here(tmp_path: Path) -> None:
    """Copying needs nothing to run; what runs needs an emulator, and BuildKit says so."""
    more = '[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    made = package(lock(service(tmp_path / "copied", "FROM scratch\nCOPY hello /\n", more)))
    assert [each.platform for each in made.manifest.images] == ["linux/amd64", "linux/arm64"]
    if not engine.facts().runs("linux/arm64"):
        with pytest.raises(ResolveError, match="linux/arm64") as caught:
            package(lock(service(tmp_path / "run", more=more)))
        assert "exec format error" in caught.value.output


def test_layers_may_be_zstd(tmp_path: Path) -> None:
    made = package(lock(service(tmp_path, "FROM scratch\nCOPY hello /\n", '[image]\ncompression = "zstd"\n')))
    [layer] = made.manifest.images[0].layers
    blob = bundle.data(made, f"images/blobs/{layer.digest.replace(':', '/')}")
    assert blob.startswith(b"\x28\xb5\x2f\xfd")
    assert cdaf("image", made.path).stdout.strip() == made.manifest.images[0].digest


def test_twenty_thousand_small_files(tmp_path: Path) -> None:
    files = {f"data/{number % 97}/{number}": str(number) for number in range(20_000)}
    root = lock(service(tmp_path, "FROM scratch\nCOPY data /data\n", files=files))
    first = package(root)
    assert len(paths(first)) == 20_000
    assert package(root).identity == first.identity


def test_what_was_built_before_needs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lock(service(tmp_path, "FROM scratch\nCOPY hello /from-before\n"))
    first = package(root)
    dockerkit.without_engine(monkeypatch)
    assert package(root).identity == first.identity
    monkeypatch.setenv("CDAF_DOCKER_CACHE", "false")
    with pytest.raises(EngineError) as caught:
        package(root)
    assert caught.value.exit_code == 9


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda blow: blow.name)
def test_a_build_that_is_stopped_leaves_nothing(tmp_path: Path, blow: signal.Signals) -> None:
    nap = 3.0 + os.getpid() / 1e7  # told apart from everybody else's
    root = lock(service(tmp_path, f"FROM {PYTHON}\nRUN echo {blow.name} && sleep {nap}\n"))
    cache = {**os.environ, "CDAF_CACHE": str(tmp_path / "cache")}
    words = [sys.executable, "-m", "cdaf", "package", str(root)]
    with subprocess.Popen(words, env=cache, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        _until(lambda: _sleeps(nap), "the build runs")
        assert running.stderr
        told = next(line for line in running.stderr if "RUN" in line)  # while it runs
        assert f"] RUN echo {blow.name} && sleep" in told
        assert running.poll() is None
        os.kill(running.pid, blow)
        errors = running.communicate()[1]
    assert running.returncode == (130 if blow != signal.SIGKILL else -blow), errors
    assert "Traceback" not in errors
    assert not (root / "dist").exists()
    if blow != signal.SIGKILL:
        _until(lambda: not _sleeps(nap), "the build has ended")
        assert list((tmp_path / "cache" / "scratch").iterdir()) == []
    else:
        _until(lambda: not _sleeps(nap), "what nobody waits for has ended")
    package(root)
    assert not dockerkit.left_by(running.pid)


def _sleeps(nap: float) -> bool:
    found = (path for path in Path("/proc").glob("[0-9]*/cmdline"))
    return any(_reads(path) == f"sleep\0{nap}\0" for path in found)


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _until(true: object, what: str) -> None:
    assert callable(true)
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError(f"it took longer than a minute until {what}")
