"""Ruby beside the real Bundler and RubyGems, in containers: the same files, the same choices, images that work."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cdaf.errors import ProjectError, ResolveError
from cdaf.languages import ruby
from cdaf.languages._ruby import lockfile, native, numbers, platforms
from cdaf.languages._ruby.platforms import Local
from cdaf.languages._ruby.values import Target
from cdaf.projects import locking, project
from tests import acceptance, makers, rubykit
from tests.acceptance import ask, cdaf
from tests.rubykit import Tree

pytestmark = pytest.mark.docker

BUILD, SLIM = "ruby:3.3", "ruby:3.3-slim"
HOME = "vendor/bundle/ruby/3.3.0"
EXAMPLE = acceptance.CHECKOUT / "examples" / "inventory"
# What Bundler leaves and an image does without: the archives themselves, logs of builds, and what make wrote.
LEFT = re.compile(rf"{HOME}/(?:cache/.*|.*/gem_make\.out|.*/mkmf\.log|.*/ext/.*/Makefile)")
CONFIG = """\
[service]
name = "svc"
version = "1.0.0"
start = ["ruby", "app.rb"]
include = ["app.rb"]
[build]
image = "ruby:3.3"
{build}
[image]
base = "ruby:3.3-slim"
"""


@pytest.fixture(scope="module")
def container(engine: object) -> Iterator[str]:
    """A running container of the image that has a compiler, on the network of the index."""
    del engine
    name = f"cdaf-ruby-{uuid.uuid4().hex[:12]}"
    mirror = f"BUNDLE_MIRROR__ALL={os.environ['BUNDLE_MIRROR__ALL']}"
    ask(["docker", "run", "-d", "--name", name, "--network", "host", "-e", mirror, BUILD, "sleep", "3600"])
    try:
        yield name
    finally:
        ask(["docker", "rm", "-f", name])


def inside(container: str, script: str, *words: str, user: str = "0") -> str:
    return ask(["docker", "exec", "-u", user, container, "sh", "-ec", script, "sh", *words])


def installed(container: str, folder: str, *settings: str) -> Tree:
    """What `bundle install` makes of the example's files, by path below the folder."""
    inside(container, 'rm -rf "$1"; mkdir -p "$1"', folder)
    for name in ("Gemfile", "Gemfile.lock"):
        ask(["docker", "cp", str(EXAMPLE / name), f"{container}:{folder}/{name}"])
    setting = " && ".join(f"bundle config set --local {each}" for each in ("deployment true", *settings))
    inside(container, f'cd "$1"; export BUNDLE_APP_CONFIG="$1/.bundle"; {setting} && bundle install', folder)
    taken = subprocess.run(["docker", "cp", f"{container}:{folder}/.", "-"], check=True, capture_output=True).stdout
    return {path.removeprefix("./"): told for path, told in rubykit.untarred(taken, {}).items()}


def own_layers(bundle: Path, folder: Path) -> Tree:
    """What the image's own layers hold, by path below /app."""
    cdaf("image", bundle, "--layout", folder)
    index = json.loads((folder / "index.json").read_text())
    blobs = folder / "blobs" / "sha256"

    def blob(digest: str) -> bytes:
        return (blobs / digest.partition(":")[2]).read_bytes()

    manifest = json.loads(blob(index["manifests"][0]["digest"]))
    while "layers" not in manifest:
        manifest = json.loads(blob(manifest["manifests"][0]["digest"]))
    found: Tree = {}
    for layer in manifest["layers"]:
        data = gzip.decompress(blob(layer["digest"]))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            own = any(name == "app" or name.startswith("app/") for name in tar.getnames())
        if own:
            found |= rubykit.untarred(data, found)
    return {path.removeprefix("app/"): told for path, told in found.items() if path.startswith("app/")}


def test_the_image_holds_the_files_that_bundle_install_makes(container: str, shared: Path, tmp_path: Path) -> None:
    """Byte for byte and mode for mode, but for what is named here.

    Commands are written otherwise and do the same; descriptions lack the line that says which RubyGems installed them.
    """
    theirs = {
        path: told for path, told in installed(container, "/app", "without smoke").items() if not LEFT.match(path)
    }
    ours = own_layers(acceptance.packaged("inventory", shared), tmp_path / "layout")
    below = {path: told for path, told in ours.items() if path.startswith(f"{HOME}/")}
    assert below.keys() == {path for path in theirs if path.startswith(f"{HOME}/")}
    for path, (kind, data) in below.items():
        wanted_kind, wanted = theirs[path]
        if path.startswith(f"{HOME}/bin/"):
            assert (kind, data.split(b"\n")[0]) == (wanted_kind, wanted.split(b"\n")[0])
            continue
        if "/specifications/" in path:
            wanted = re.sub(rb"\n  s\.installed_by_version = .*\n", b"", wanted)
        assert (path, kind, data) == (path, wanted_kind, wanted)
    assert [ours[name] for name in ("Gemfile", "Gemfile.lock")] == [
        theirs[name] for name in ("Gemfile", "Gemfile.lock")
    ]


def test_the_released_image_works_for_bundler_and_for_ruby(shared: Path) -> None:
    bundle = acceptance.packaged("inventory", shared)
    name = f"cdaf-ruby-{uuid.uuid4().hex[:12]}"
    image = cdaf("release", bundle, "--to", f"engine:{name}").stdout.strip().splitlines()[-1]
    try:
        ask(["docker", "run", "-d", "--name", name, "--network", "none", "--entrypoint", "sleep", image, "600"])
        told = inside(
            name,
            "cd /app; bundle check; bundle list; bundle exec puma --version; bundle exec tilt --help | head -1; "
            "ruby -rbundler/setup -e 'require %q(bcrypt); require %q(sinatra/base); puts BCrypt::Password.create(1)'; "
            "bundle config get without; ruby -rbundler/setup -e 'puts Gem.loaded_specs.size'",
            user="10001",
        )
        assert "The Gemfile's dependencies are satisfied" in told
        assert "puma version 6." in told
        assert "minitest" not in told
        assert "$2a$" in told
        failed = subprocess.run(
            ["docker", "exec", "-w", "/app", name, "bundle", "exec", "ruby", "-e", "require 'minitest'"], check=False
        )
        assert failed.returncode, "a gem of the checks is not in the image"
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)
        ask(["docker", "rmi", "-f", image])


def test_locks_with_checksums_are_bundler_s_own(container: str) -> None:
    inside(container, 'rm -rf "$1"; mkdir -p "$1"', "/sums")
    for name in ("Gemfile", "Gemfile.lock"):
        ask(["docker", "cp", str(EXAMPLE / name), f"{container}:/sums/{name}"])
    text = inside(container, "cd /sums; bundle lock --add-checksums >&2; cat Gemfile.lock")
    found = lockfile.parse(text)
    served = {spec.full for each in found.sources for spec in each.specs}
    assert found.checksums.keys() == served
    plain = lockfile.parse((EXAMPLE / "Gemfile.lock").read_text())
    assert msgspec.structs.replace(found, checksums={}) == plain


LOCALS = {
    "x86_64-linux-gnu": Local(("x86_64",), musl=False),
    "x86_64-linux-musl": Local(("x86_64",), musl=True),
    "aarch64-linux-gnu": Local(("aarch64",), musl=False),
}
FORMS = (
    *("ruby", "x86_64-linux", "x86_64-linux-gnu", "x86_64-linux-musl", "aarch64-linux", "aarch64-linux-musl"),
    *("arm-linux-gnu", "x86_64-darwin", "x64-mingw-ucrt", "java", "x86-linux", "universal-darwin"),
)


def test_platforms_match_as_in_rubygems(container: str) -> None:
    program = (
        "locals, forms = ARGV.map { |each| each.split(',') }; "
        "locals.each { |here| puts forms.map { |form| Gem::Platform.send(:match_platforms?, Gem::Platform.new(form), "
        "[Gem::Platform::RUBY, Gem::Platform.new(here)]) ? 1 : 0 }.join }"
    )
    told = inside(container, 'ruby -e "$1" "$2" "$3"', program, ",".join(LOCALS), ",".join(FORMS)).split()
    for here, row in zip(LOCALS.values(), told, strict=True):
        assert row == "".join("0" if platforms.distance(form, here) is None else "1" for form in FORMS)


VERSIONS = (
    "0",
    "1",
    "1.0",
    "1.0.0",
    "1.2",
    "1.2.3",
    "1.10",
    "2.0.rc1",
    "2.0",
    "2.0.0.beta2",
    "2.0.a",
    "3.3.13",
    "10.1.dev",
)
REQUIRED = tuple(f"{sign} {each}" for sign in ("=", "!=", "<", ">", "<=", ">=", "~>") for each in VERSIONS)


def test_versions_compare_as_in_rubygems(container: str) -> None:
    program = (
        "versions, required = ARGV.map { |each| each.split(',') }; required.each { |each| "
        "puts versions.map { |one| Gem::Requirement.new(each).satisfied_by?(Gem::Version.new(one)) ? 1 : 0 }.join }"
    )
    told = inside(container, 'ruby -e "$1" "$2" "$3"', program, ",".join(VERSIONS), ",".join(REQUIRED)).split()
    for required, row in zip(REQUIRED, told, strict=True):
        assert (required, row) == (required, "".join(str(int(numbers.satisfies(one, [required]))) for one in VERSIONS))


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[rubykit.Index]:
    """An index of the test's own, and an empty cache."""
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    with rubykit.serving() as served:
        monkeypatch.setenv("BUNDLE_MIRROR__ALL", served.url)
        yield served


EXTCONF = 'require "mkmf"\n{0}create_makefile("n/n")\n'
SOURCE = '#include <ruby.h>\nvoid Init_n(void) { rb_define_global_const("N", INT2FIX(42)); }\n'


def native_gem(index: rubykit.Index, more: str = "", **how: str) -> None:
    files = {"ext/n/extconf.rb": EXTCONF.format(more), "ext/n/n.c": SOURCE, "lib/n.rb": 'require "n/n"\n'}
    index.add("n", files=files, extensions=["ext/n/extconf.rb"], needs=how)


def service(folder: Path, gemfile: str, specs: dict[str, list[str]], files: rubykit.Files, build: str = "") -> Path:
    names = re.findall(r'gem "([^"]+)"', gemfile)
    lock = rubykit.lock(specs, [f"{each}!" if f'"{each}", path' in gemfile else each for each in names])
    if "path:" in gemfile:
        lock = "PATH\n  remote: p\n  specs:\n    p (1.0)\n\n" + lock
    gemfile = f'source "{rubykit.INDEX}"\n{gemfile}'
    own = {"Gemfile": gemfile, "Gemfile.lock": lock, "cdaf.toml": CONFIG.format(build=build), "app.rb": "1\n"}
    return makers.repository(folder, {**own, **files})


def test_an_extension_may_need_gems_while_it_is_built(index: rubykit.Index, tmp_path: Path) -> None:
    index.add("helper", files={"lib/helper.rb": "HELPS = true\n"})
    native_gem(index, 'require "helper"\nabort "no help" unless HELPS\n', helper=">= 0")
    root = service(tmp_path / "svc", 'gem "n"\n', {"n (1.0.0)": ["helper"], "helper (1.0.0)": []}, {})
    found = project.read(root)
    collection, planned = rubykit.through(found, locking.ensure(found))
    tree = rubykit.laid(found, collection, planned)
    built = sorted(path for path in tree if "/extensions/" in path or path.endswith(".so"))
    assert [path.rpartition("/")[2] for path in built] == ["gem.build_complete", "n.so", "n.so"]
    member = next(name for name in planned.kept if name.endswith(".tar"))
    assert "/n-1.0.0/" in member


def test_what_cannot_be_built_is_told_with_the_tool_s_own_words(index: rubykit.Index, tmp_path: Path) -> None:
    native_gem(index, 'abort "libfancy is missing"\n')
    root = service(tmp_path / "svc", 'gem "n"\n', {"n (1.0.0)": []}, {})
    told = cdaf("package", root, expect=4)
    assert "n-1.0.0 cannot be built in ruby:3.3" in told.stderr
    assert "libfancy is missing" in told.stderr
    assert "set build.image to an image that has the compiler" in told.stderr


def test_an_image_without_compiler_is_told(index: rubykit.Index, tmp_path: Path) -> None:
    native_gem(index)
    root = service(tmp_path / "svc", 'gem "n"\n', {"n (1.0.0)": []}, {})
    (root / "cdaf.toml").write_text((root / "cdaf.toml").read_text().replace(f'image = "{BUILD}"\n', ""))
    told = cdaf("package", root, expect=4)
    assert f"n-1.0.0 cannot be built in {SLIM}" in told.stderr


def test_no_build_reaches_the_network(index: rubykit.Index, tmp_path: Path) -> None:
    native_gem(index, f'require "net/http"\nNet::HTTP.get(URI("{index.url}/"))\n')
    root = service(tmp_path / "svc", 'gem "n"\n', {"n (1.0.0)": []}, {})
    asked = len(index.asked)
    assert "cannot be built" in cdaf("package", root, expect=4).stderr
    assert all(path.endswith(".gem") for path, _ in index.asked[asked:])


def test_a_platform_that_does_not_run_here_is_refused(index: rubykit.Index, tmp_path: Path) -> None:
    native_gem(index)
    lock = rubykit.lock({"n (1.0.0)": []}, ["n"])
    found = rubykit.service(
        tmp_path / "svc", f'source "{rubykit.INDEX}"\ngem "n"\n', lock, config=CONFIG.format(build="")
    )
    narrow = msgspec.structs.replace(
        found,
        settings=msgspec.structs.replace(
            found.settings,
            image=msgspec.structs.replace(found.settings.image, platforms=("linux/s390x",)),
            build=msgspec.structs.replace(found.settings.build, image=None),
        ),
    )
    kept = rubykit.pinned(platforms=("linux/s390x",), archives=ruby.pin_archives(narrow, ()), reference=SLIM)
    with pytest.raises(ResolveError) as caught:
        ruby.collect(narrow, ruby.resolve(narrow, kept))
    assert caught.value.message == "n-1.0.0: to be built on linux/s390x, which does not run here"
    assert "lock versions that have gems for that platform" in caught.value.hint


def test_a_build_image_of_another_ruby_is_refused(index: rubykit.Index, tmp_path: Path) -> None:
    lock = rubykit.lock({"n (1.0.0)": []}, ["n"])
    found = rubykit.service(
        tmp_path / "svc", f'source "{rubykit.INDEX}"\ngem "n"\n', lock, config=CONFIG.format(build="")
    )
    base = rubykit.pinned(reference=SLIM).bases
    other = rubykit.pinned(msgspec.structs.replace(rubykit.FACTS, interpreter_version="3.2.1"), reference=BUILD).bases
    kept = msgspec.structs.replace(rubykit.pinned(), bases=(*base, *other))
    with pytest.raises(ProjectError, match=r"gems built in ruby:3.3 \(Ruby 3.2.1 on glibc\) do not fit ruby:3.3-slim"):
        native.bench(found, kept, Target(platform="linux/amd64", base=base[0]))


def test_a_gemspec_that_asks_git_becomes_data(index: rubykit.Index, tmp_path: Path) -> None:
    spec = (
        'Gem::Specification.new do |s|\n  s.name = "p"\n  s.version = "1.0"\n  s.summary = s.authors = "x"\n'
        '  s.files = Dir.chdir(__dir__) { `git ls-files -z`.split("\\x0") }.reject { |f| f.start_with?("spec/") }\n'
        "end\n"
    )
    files = {"p/p.gemspec": spec, "p/lib/p.rb": "1\n", "p/spec/p.rb": "2\n"}
    root = service(tmp_path / "svc", 'gem "p", path: "p"\n', {}, files)
    found = project.read(root)
    collection, planned = rubykit.through(found, locking.ensure(found))
    text = rubykit.laid(found, collection, planned)["app/p/p.gemspec"][1].decode()
    assert "git" not in text
    assert 's.files = ["lib/p.rb".freeze, "p.gemspec".freeze]' in text


def test_build_commands_have_the_gems_of_development(index: rubykit.Index, tmp_path: Path) -> None:
    index.add(
        "maker", files={"lib/maker.rb": 'File.write("made.txt", "made")\n', "bin/make-it": "#!/usr/bin/env ruby\n"}
    )
    build = 'run = [["bundle", "exec", "ruby", "-e", "require %q(maker)"]]\noutputs = ["made.txt"]'
    gemfile = 'gem "maker", group: :development\n'
    root = service(tmp_path / "svc", gemfile, {"maker (1.0.0)": []}, {}, build)
    found = project.read(root)
    collection, planned = rubykit.through(found, locking.ensure(found))
    tree = rubykit.laid(found, collection, planned)
    assert tree["app/made.txt"] == ("file", b"made")
    assert not any("maker" in path for path in tree)
    assert not collection.archives


GEMFILE = """\
source "https://rubygems.org"

gem "ffi"
gem "ledger", git: "https://git.example.invalid/team/ledger.git"
gem "p", path: "parts/p"

group :development do
  gem "never", path: "never"
end
"""
LOCK = """\
GIT
  remote: https://git.example.invalid/team/ledger.git
  revision: {commit}
  specs:
    ledger (0.3.0)

PATH
  remote: never
  specs:
    never (1.0)

PATH
  remote: parts/p
  specs:
    p (1.0)

GEM
  remote: https://rubygems.org/
  specs:
    ffi (1.17.0-aarch64-linux-gnu)
    ffi (1.17.0-x86_64-linux-gnu)

PLATFORMS
  aarch64-linux-gnu
  x86_64-linux-gnu

DEPENDENCIES
  ffi
  ledger!
  never!
  p!

BUNDLED WITH
   2.6.99
"""
SPEC = """Gem::Specification.new do |s|
  s.name = "{0}"
  s.version = "{1}"
  s.summary = s.authors = "x"
  s.files = `git ls-files`.split
  s.bindir = "exe"
  s.executables = ["{0}-run"]
end
"""
RUN = "#!/usr/bin/env ruby\nrequire '{0}'\nputs '{0} runs'\n"


def test_gems_of_every_kind_work_offline(engine: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled gem for the platform, a commit, a folder, and a Bundler that is not the one of the lock."""
    del engine
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    files = {"{0}.gemspec": SPEC, "lib/{0}.rb": "", "exe/{0}-run": RUN}
    own = {
        name: {at.format(name): text.format(name, version) for at, text in files.items()}
        for name, version in (("ledger", "0.3.0"), ("p", "1.0"), ("never", "1.0"))
    }
    upstream = makers.repository(tmp_path / "upstream" / "team" / "ledger.git", own["ledger"])
    (tmp_path / "gitconfig").write_text(
        f'[url "{(tmp_path / "upstream").as_uri()}/"]\n\tinsteadOf = https://git.example.invalid/\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    parts = {f"parts/p/{at}": text for at, text in own["p"].items()} | {
        f"never/{at}": t for at, t in own["never"].items()
    }
    lock = LOCK.format(commit=makers.git(upstream, "rev-parse", "HEAD"))
    told = {"Gemfile": GEMFILE, "Gemfile.lock": lock, "cdaf.toml": CONFIG.format(build=""), "app.rb": "1\n"}
    found = project.read(makers.repository(tmp_path / "svc", {**told, **parts}))
    collection, planned = rubykit.through(found, locking.ensure(found))
    tree = rubykit.laid(found, collection, planned)
    assert not any("never" in path for path in tree)
    script = (
        "cd /app; bundle check; bundle exec ruby -e 'require %q(ffi); require %q(p); puts FFI::VERSION'; "
        "bundle exec p-run; bundle exec ledger-run; ruby -rbundler/setup -e 'require %q(ledger); puts :plain'"
    )
    said = _offline(tree, script)
    assert said.split("\n")[-6:] == [
        "The Gemfile's dependencies are satisfied",
        "1.17.0",
        "p runs",
        "ledger runs",
        "plain",
        "",
    ]


def _offline(tree: Tree, script: str) -> str:
    """What a shell says in a container of the base without network, the tree laid out in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, (kind, data) in tree.items():
            member = tarfile.TarInfo(path)
            member.mode, member.size = 0o755 if kind == "program" else 0o644, len(data)
            tar.addfile(member, io.BytesIO(data))
    name = f"cdaf-ruby-{uuid.uuid4().hex[:12]}"
    told = ("-e", "BUNDLE_APP_CONFIG=/app/.bundle")
    ask(["docker", "run", "-d", "--name", name, "--network", "none", *told, SLIM, "sleep", "600"])
    try:
        subprocess.run(["docker", "cp", "-", f"{name}:/"], input=out.getvalue(), check=True, capture_output=True)
        return inside(name, script, user="10001")
    finally:
        ask(["docker", "rm", "-f", name])
