"""Ruby services from lock to layers, with gems and an index of the tests' own; nothing here needs an engine."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import progress
from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages import ruby
from cdaf.languages._ruby import settings, source
from cdaf.languages._ruby.values import Choice, Spec
from cdaf.projects import pins, project
from tests import elves, makers, rubykit
from tests.rubykit import BOTH, HOME, INDEX, Index

GEMFILE = 'source "https://gems.example.invalid"\n\ngem "a"\n'
LOCK = rubykit.lock({"a (1.0.0)": ["b"], "b (2.0)": []}, ["a"])


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """An index that Bundler's settings lead to, with an empty cache and no settings of this machine's user."""
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BUNDLE_MIRROR__ALL", raising=False)
    with rubykit.serving() as served:
        monkeypatch.setenv(settings.key(f"mirror.{INDEX}/"), f"{served.url}/")
        served.add("a", needs={"b": ">= 0"}, executables=["a"], files={"bin/a": "#!/usr/bin/env ruby\n"})
        served.add("b", "2.0", {"lib/b/data.txt": "data", "spec/b_spec.rb": "x"})
        yield served


def refused(kind: type[CdafError], found: project.Project, kept: pins.Pins | None = None) -> str:
    with pytest.raises(kind) as caught:
        rubykit.through(found, kept)
    assert caught.value.hint
    return f"{caught.value.message}\n{caught.value.hint}"


def test_gems_stand_where_bundler_looks_for_them(index: Index, tmp_path: Path) -> None:
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert tree[f"{HOME}/gems/b-2.0/lib/b/data.txt"] == ("file", b"data")
    assert tree[f"{HOME}/specifications/a-1.0.0.gemspec"][1].startswith(b"# -*- encoding: utf-8 -*-\n# stub: a 1.0.0")
    kind, command = tree[f"{HOME}/bin/a"]
    assert kind == "program"
    assert command.startswith(b"#!/usr/bin/env ruby\n")
    assert tree["app/Gemfile"][1].decode() == GEMFILE
    assert tree["app/Gemfile.lock"][1].decode() == LOCK
    wanted = '---\nBUNDLE_DEPLOYMENT: "true"\nBUNDLE_FROZEN: "true"\nBUNDLE_PATH: "vendor/bundle"\n'
    assert tree["app/.bundle/config"][1].decode() == wanted
    assert planned.plans.images[0].config.environment["BUNDLE_APP_CONFIG"] == "/app/.bundle"


def test_dependencies_say_what_they_are(index: Index, tmp_path: Path) -> None:
    collection, _ = rubykit.through(rubykit.service(tmp_path / "svc", GEMFILE, LOCK))
    told = collection.archives[0].dependency
    digest = hashlib.sha256(index.gems["a-1.0.0.gem"]).hexdigest()
    assert (told.name, told.version, told.purl) == ("a", "1.0.0", "pkg:gem/a@1.0.0")
    assert (told.url, told.hash) == (f"{INDEX}/gems/a-1.0.0.gem", f"sha256:{digest}")
    assert (told.license, told.requires, told.archive) == ("MIT", ("b",), "deps/a-1.0.0.gem")


def test_hashes_are_taken_once_and_kept(index: Index, tmp_path: Path) -> None:
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    taken = ruby.pin_archives(found, ())
    assert [(each.name, each.version) for each in taken] == [("a", "1.0.0"), ("b", "2.0")]
    asked = len(index.asked)
    assert ruby.pin_archives(found, taken) == taken
    assert len(index.asked) == asked
    message = refused(ProjectError, found, rubykit.pinned(archives=taken[:1]))
    assert "no hash of b-2.0" in message
    assert "run `cdaf lock`" in message


def test_checksums_of_the_lock_need_no_pins(index: Index, tmp_path: Path) -> None:
    text = rubykit.lock({"a (1.0.0)": ["b"], "b (2.0)": []}, ["a"], checksums=rubykit.sums(index))
    found = rubykit.service(tmp_path / "svc", GEMFILE, text)
    assert ruby.pin_archives(found, ()) == ()
    rubykit.through(found, rubykit.pinned())


def test_other_bytes_than_the_lock_names_are_refused(index: Index, tmp_path: Path) -> None:
    checksums = rubykit.sums(index)
    text = rubykit.lock({"a (1.0.0)": ["b"], "b (2.0)": []}, ["a"], checksums=checksums)
    index.add("a", needs={"b": ">= 0"}, files={"lib/a.rb": "evil"})
    index.add("b", "2.0", {"lib/b.rb": "evil"})
    message = refused(ResolveError, rubykit.service(tmp_path / "svc", GEMFILE, text), rubykit.pinned())
    assert "hash mismatch for a 1.0.0" in message
    assert "hash mismatch for b 2.0" in message


def test_a_gem_that_the_index_has_no_longer_is_refused(index: Index, tmp_path: Path) -> None:
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    kept = rubykit.pinned(archives=ruby.pin_archives(found, ()))
    del index.gems["b-2.0.gem"]
    (tmp_path / "cache").rename(tmp_path / "gone")
    assert "b-2.0.gem answered 404" in refused(ResolveError, found, kept)
    with pytest.raises(ResolveError, match=r"b 2.0: .*/gems/b-2.0.gem answered 404"):
        ruby.pin_archives(found, ())


def test_a_gem_that_says_it_is_another_is_refused(index: Index, tmp_path: Path) -> None:
    index.gems["b-2.0.gem"] = rubykit.gem("other", "3.0")
    message = refused(ResolveError, rubykit.service(tmp_path / "svc", GEMFILE, LOCK))
    assert "b-2.0: the archive says that it is other 3.0 for ruby" in message


def test_a_gem_for_another_ruby_is_refused(index: Index, tmp_path: Path) -> None:
    index.add("b", "2.0", ruby="~> 2.7")
    message = refused(ResolveError, rubykit.service(tmp_path / "svc", GEMFILE, LOCK))
    assert "b-2.0 wants Ruby ~> 2.7, and ruby:3.4-slim has 3.4.7" in message


@pytest.mark.parametrize(
    ("gemfile", "lock", "said"),
    [
        (GEMFILE + 'gem "c"\n', LOCK, "line 4: c is not in the lock"),
        (GEMFILE.replace('"a"', '"a", "~> 2"'), LOCK, "a (~> 2), and the lock has (any)"),
        ('ruby "~> 2.7"\n' + GEMFILE, LOCK, "asks for Ruby ~> 2.7, and ruby:3.4-slim has 3.4.7"),
        (
            GEMFILE,
            rubykit.lock({"a (1.0.0)": ["b"], "b (2.0)": []}, ["a"], platforms=["arm64-darwin"]),
            "locked for arm64-darwin, and not for x86_64-linux: run `bundle lock --add-platform x86_64-linux`",
        ),
        (GEMFILE, rubykit.lock({"a (1.0.0)": ["b"]}, ["a"]), "a 1.0.0 needs b, and no section of the lock has it"),
    ],
)
def test_lock_and_gemfile_out_of_step_are_refused(
    gemfile: str, lock: str, said: str, index: Index, tmp_path: Path
) -> None:
    found = rubykit.service(tmp_path / "svc", gemfile, lock)
    assert said in refused(ProjectError, found)
    if "Ruby" not in said and "locked for" not in said:
        assert said in "\n".join(ruby.check(found))


def test_no_lock_and_no_gemfile_are_the_project_s_fault(index: Index, tmp_path: Path) -> None:
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    (tmp_path / "svc" / "Gemfile").unlink()
    assert "has no Gemfile beside it" in refused(ProjectError, found)
    (tmp_path / "svc" / "Gemfile.lock").unlink()
    assert "no Gemfile.lock in" in refused(ProjectError, found)
    assert ruby.check(found)


def test_each_platform_gets_its_own_form(index: Index, tmp_path: Path) -> None:
    for form in ("x86_64-linux-gnu", "aarch64-linux-gnu", "x86_64-linux-musl"):
        index.add("n", "1.0", {f"lib/{form}.txt": form}, platform=form)
    index.add("n", "1.0", extensions=["ext/extconf.rb"])
    specs: dict[str, list[str]] = {f"n (1.0{form})": [] for form in ("", "-aarch64-linux-gnu", "-x86_64-linux-gnu")}
    specs["n (1.0-x86_64-linux-musl)"] = []
    lock = rubykit.lock(specs, ["n"], platforms=["aarch64-linux", "x86_64-linux", "x86_64-linux-musl"])
    config = rubykit.CONFIG + '[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    found = rubykit.service(tmp_path / "svc", GEMFILE.replace('"a"', '"n"'), lock, config=config)
    collection, planned = rubykit.through(found)
    for platform, form in zip(BOTH, ("x86_64-linux-gnu", "aarch64-linux-gnu"), strict=True):
        tree = rubykit.laid(found, collection, planned, platform)
        assert f"{HOME}/gems/n-1.0-{form}/lib/{form}.txt" in tree
        assert f"{HOME}/specifications/n-1.0-{form}.gemspec" in tree
    assert {each.dependency.purl for each in collection.archives} == {
        "pkg:gem/n@1.0?platform=x86_64-linux-gnu",
        "pkg:gem/n@1.0?platform=aarch64-linux-gnu",
    }
    musl = msgspec.structs.replace(rubykit.FACTS, libc="musl")
    kept = rubykit.pinned(musl, archives=ruby.pin_archives(found, ()))
    narrow = msgspec.structs.replace(
        found, settings=msgspec.structs.replace(found.settings, image=type(found.settings.image)())
    )
    collection = ruby.collect(narrow, ruby.resolve(narrow, kept))
    assert [each.dependency.archive for each in collection.archives] == ["deps/n-1.0-x86_64-linux-musl.gem"]


def test_a_gem_without_a_form_for_the_platform_is_refused(index: Index, tmp_path: Path) -> None:
    lock = rubykit.lock({"n (1.0-arm64-darwin)": []}, ["n"], platforms=["arm64-darwin", "x86_64-linux"])
    found = rubykit.service(tmp_path / "svc", GEMFILE.replace('"a"', '"n"'), lock)
    message = refused(ResolveError, found)
    assert "n 1.0 is locked for arm64-darwin, and not for x86_64-linux" in message
    assert "run `bundle lock --add-platform x86_64-linux`" in message


def test_groups_of_development_and_checks_stay_out_of_the_image(index: Index, tmp_path: Path) -> None:
    for name in ("dev", "check", "tool"):
        index.add(name, executables=[name], files={f"bin/{name}": "#!ruby\n"})
    gemfile = GEMFILE + 'gem "dev", group: :development\ngem "check", group: :smoke\ngem "tool", group: :tools\n'
    specs: dict[str, list[str]] = {"a (1.0.0)": ["b"], "b (2.0)": []}
    specs |= {f"{each} (1.0.0)": [] for each in ("dev", "check", "tool")}
    lock = rubykit.lock(specs, ["a", "check", "dev", "tool"])
    config = rubykit.CONFIG + '[smoke]\ngroup = "smoke"\nchecks = ["ruby", "smoke/c.rb"]\n'
    found = rubykit.service(tmp_path / "svc", gemfile, lock, {"smoke/c.rb": "1\n"}, config)
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert {path.split("/")[6] for path in tree if f"{HOME}/gems/" in path} == {"a-1.0.0", "b-2.0", "tool-1.0.0"}
    assert b'BUNDLE_WITHOUT: "development:smoke"' in tree["app/.bundle/config"][1]
    checks = rubykit.laid(found, collection, planned, smoke=True)
    assert {path.split("/")[6] for path in checks if f"{HOME}/gems/" in path} == {"check-1.0.0"}
    assert b'BUNDLE_WITHOUT: "development"' in checks["app/.bundle/config"][1]
    assert {each.dependency.name: each.dependency.group for each in collection.archives}["check"] == "smoke"


def test_checks_on_a_base_of_their_own_get_their_own_forms(index: Index, tmp_path: Path) -> None:
    for form in ("x86_64-linux-gnu", "x86_64-linux-musl"):
        index.add("n", "1.0", {f"lib/{form}.txt": form}, platform=form)
    index.add("check")
    specs: dict[str, list[str]] = {f"n (1.0-x86_64-linux-{libc})": [] for libc in ("gnu", "musl")}
    lock = rubykit.lock({"check (1.0.0)": [], **specs}, ["check", "n"], platforms=["x86_64-linux", "x86_64-linux-musl"])
    config = rubykit.CONFIG + '[smoke]\ngroup = "smoke"\nchecks = ["ruby", "smoke/c.rb"]\nimage = "ruby:3.4-alpine"\n'
    gemfile = GEMFILE.replace('"a"', '"n"') + 'gem "check", group: :smoke\n'
    found = rubykit.service(tmp_path / "svc", gemfile, lock, {"smoke/c.rb": "1\n"}, config)
    musl = msgspec.structs.replace(rubykit.FACTS, libc="musl")
    bases = (*rubykit.pinned().bases, *rubykit.pinned(musl, reference="ruby:3.4-alpine").bases)
    kept = rubykit.pinned(archives=ruby.pin_archives(found, ()))
    collection, planned = rubykit.through(found, msgspec.structs.replace(kept, bases=bases))

    def gems(*, smoke: bool) -> set[str]:
        tree = rubykit.laid(found, collection, planned, smoke=smoke)
        return {path.split("/")[6] for path in tree if f"{HOME}/gems/" in path}

    assert gems(smoke=False) == {"n-1.0-x86_64-linux-gnu"}
    assert gems(smoke=True) == {"n-1.0-x86_64-linux-musl", "check-1.0.0"}
    assert planned.plans.smoke[0].base is not None


@pytest.mark.parametrize("where", ["", 'image = "ruby:3.4-alpine"\n'], ids=["on the image", "alone"])
def test_native_files_of_checks_have_to_fit_their_base(index: Index, tmp_path: Path, where: str) -> None:
    index.add("check", files={"lib/check.so": elves.make("s390x", symbols=["Init_check"])})
    lock = rubykit.lock({"a (1.0.0)": ["b"], "b (2.0)": [], "check (1.0.0)": []}, ["a", "check"])
    gemfile = GEMFILE + 'gem "check", group: :smoke\n'
    config = f'{rubykit.CONFIG}[smoke]\ngroup = "smoke"\nchecks = ["ruby", "smoke/c.rb"]\n{where}'
    found = rubykit.service(tmp_path / "svc", gemfile, lock, {"smoke/c.rb": "1\n"}, config)
    bases = (*rubykit.pinned().bases, *rubykit.pinned(reference="ruby:3.4-alpine").bases)
    kept = msgspec.structs.replace(rubykit.pinned(archives=ruby.pin_archives(found, ())), bases=bases)
    with pytest.raises(ResolveError, match=r", checks: check 1\.0\.0: check-1\.0\.0/lib/check\.so is for s390x"):
        rubykit.through(found, kept)
    config += '[image]\nunaudited = ["check-1.0.0/lib/*.so"]\n'
    found = rubykit.service(tmp_path / "two", gemfile, lock, {"smoke/c.rb": "1\n"}, config)
    assert rubykit.through(found, kept)[1].plans.smoke


def test_a_login_for_git_is_told_nowhere(index: Index, tmp_path: Path) -> None:
    remote = "http://robot:s3cret@127.0.0.1:9/team/x.git"
    before = f"GIT\n  remote: {remote}\n  revision: {'0' * 40}\n  specs:\n    x (1.0)\n"
    gemfile = f'source "{INDEX}"\ngem "x", git: "{remote}"\n'
    found = rubykit.service(tmp_path / "svc", gemfile, rubykit.lock({}, ["x!"], before=before))
    with pytest.raises(ResolveError) as caught:
        rubykit.through(found)
    assert "s3cret" not in f"{caught.value.message}{caught.value.hint}{caught.value.output}"
    assert b"s3cret" not in b"".join(ruby.resolve(found, rubykit.pinned()).files.values())


def test_groups_that_the_gemfile_does_not_have_are_refused(index: Index, tmp_path: Path) -> None:
    config = rubykit.CONFIG.replace("[service]", '[service]\ngroups = ["produktion"]\nextras = ["x"]')
    gemfile = GEMFILE.replace('"a"', '"a", groups: [:default, :production]')
    found = rubykit.service(tmp_path / "svc", gemfile, LOCK, config=config)
    message = refused(ProjectError, found)
    assert "service.groups: 'produktion' is no group of Gemfile, did you mean 'production'?" in message
    assert "service.extras: Ruby's gems have none" in message


def test_files_that_a_pattern_matches_stay_out(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "warn", said.append)
    config = rubykit.CONFIG + '[image]\nexclude = ["**/spec/**", "a-*/docs/**"]\n'
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK, config=config)
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert f"{HOME}/gems/b-2.0/spec/b_spec.rb" not in tree
    assert f"{HOME}/gems/b-2.0/lib/b/data.txt" in tree
    assert [each for each in said if "smoke" not in each] == [
        "image.exclude: 'a-*/docs/**' matches no file of any archive in the image"
    ]


def test_one_command_has_one_owner(index: Index, tmp_path: Path) -> None:
    index.add("b", "2.0", {"bin/a": "#!ruby\n"}, executables=["a"])
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    collection, planned = rubykit.through(found)
    assert b'activate_bin_path("a", "a"' in rubykit.laid(found, collection, planned)[f"{HOME}/bin/a"][1]


def test_two_packagings_are_one(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("one", "two"):
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / f"cache-{name}"))
        collection, planned = rubykit.through(rubykit.service(tmp_path / name / "svc", GEMFILE, LOCK))
        made.append(
            (planned.plans.images[0].layers, planned.generated, [each.dependency for each in collection.archives])
        )
    assert made[0] == made[1]


@pytest.mark.slow
def test_twenty_thousand_small_files_are_laid_out(index: Index, tmp_path: Path) -> None:
    index.add("b", "2.0", {f"lib/b/{at // 100}/{at}.rb": f"{at}" for at in range(20_000)})
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert tree[f"{HOME}/gems/b-2.0/lib/b/199/19999.rb"] == ("file", b"19999")
    assert len(tree) > 20_000


def test_gems_of_folders_and_of_the_service_itself(index: Index, tmp_path: Path) -> None:
    spec = 'Gem::Specification.new do |s|\n  s.name = "{0}"\n  s.version = "1.0"\nend\n'
    before = "PATH\n  remote: .\n  specs:\n    svc (1.0)\n      b\n\n"
    before += "PATH\n  remote: engines/e\n  specs:\n    e (1.0)\n\n"
    before += "PATH\n  remote: ../beside\n  specs:\n    s (1.0)\n"
    files = {
        "svc/svc.gemspec": spec.format("svc") + '# add_development_dependency "never"\n',
        "svc/lib/svc.rb": "1\n",
        "svc/secret.txt": "no\n",
        "svc/engines/e/e.gemspec": spec.format("e"),
        "svc/engines/e/exe/e": "#!/usr/bin/env ruby\n",
        "beside/s.gemspec": spec.format("s"),
        "beside/lib/s.rb": "2\n",
    }
    gemfile = 'source "https://gems.example.invalid"\ngemspec\ngem "e", path: "engines/e"\ngem "s", path: "../beside"\n'
    lock = rubykit.lock({"b (2.0)": []}, ["e!", "s!", "svc!"], before=before)
    own = {"svc/Gemfile": gemfile, "svc/Gemfile.lock": lock, "svc/cdaf.toml": rubykit.CONFIG, "svc/app.rb": ""}
    makers.repository(tmp_path / "repo", {**files, **own})
    (tmp_path / "repo" / "svc" / "engines" / "e" / "untracked.rb").write_text("no")
    found = project.read(tmp_path / "repo" / "svc")
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert {"app/svc.gemspec", "app/lib/svc.rb", "app/engines/e/exe/e", "beside/lib/s.rb"} <= tree.keys()
    assert not {"app/secret.txt", "app/engines/e/untracked.rb"} & tree.keys()
    assert f"{HOME}/bin/e" in tree
    told = {each.dependency.name: each.dependency for each in collection.archives}
    assert (told["e"].built_from, told["e"].archive) == ("engines/e", "deps/e-1.0.tar")
    assert tmp_path / "repo" / "beside" in collection.lock.inputs


def test_a_lock_above_the_service_serves(index: Index, tmp_path: Path) -> None:
    below = {"svc/cdaf.toml": rubykit.CONFIG, "svc/app.rb": "1\n"}
    makers.repository(tmp_path / "repo", {"Gemfile": GEMFILE, "Gemfile.lock": LOCK, **below})
    found = project.read(tmp_path / "repo" / "svc")
    collection, planned = rubykit.through(found)
    assert {"app/Gemfile", "app/Gemfile.lock", "app/app.rb"} <= rubykit.laid(found, collection, planned).keys()
    assert tmp_path / "repo" / "Gemfile" in collection.lock.inputs


def test_what_a_gemfile_reads_beside_itself_enters(index: Index, tmp_path: Path) -> None:
    gemfile = f'ruby file: ".ruby-version"\n{GEMFILE}'
    found = rubykit.service(tmp_path / "svc", gemfile, LOCK, {".ruby-version": "3.4.7\n"})
    collection, planned = rubykit.through(found)
    assert rubykit.laid(found, collection, planned)["app/.ruby-version"] == ("file", b"3.4.7\n")
    makers.git(tmp_path / "svc", "rm", "-q", "--cached", ".ruby-version")
    assert ".ruby-version is read by Gemfile, and not tracked by git" in refused(ProjectError, found)


@pytest.mark.parametrize("remote", ["../../elsewhere", "/usr/lib/gem", "../usr"])
def test_gems_of_folders_elsewhere_are_refused(remote: str, index: Index, tmp_path: Path) -> None:
    lock = rubykit.lock({}, ["e!"], before=f"PATH\n  remote: {remote}\n  specs:\n    e (1.0)\n")
    spec = 'Gem::Specification.new { |s| s.name = "e" }\n'
    own = {
        "svc/Gemfile": f'source "{INDEX}"\ngem "e", path: "x"\n',
        "svc/Gemfile.lock": lock,
        "svc/cdaf.toml": rubykit.CONFIG,
    }
    makers.repository(tmp_path / "repo", {**own, "svc/app.rb": "", "usr/e.gemspec": spec})
    with pytest.raises(ProjectError, match="the gem e lies at"):
        rubykit.through(project.read(tmp_path / "repo" / "svc"))


def test_gems_of_git_repositories_stand_by_their_commit(index: Index, tmp_path: Path) -> None:
    spec = 'Gem::Specification.new do |s|\n  s.name = "{0}"\nend\n'
    upstream = makers.repository(
        tmp_path / "ledger.git",
        {"ledger.gemspec": spec.format("ledger"), "sub/more.gemspec": spec.format("more"), "lib/ledger.rb": "1\n"},
    )
    commit = makers.git(upstream, "rev-parse", "HEAD")
    before = f"GIT\n  remote: {upstream.as_uri()}\n  revision: {commit}\n  specs:\n    ledger (1.0)\n    more (1.0)\n"
    lock = rubykit.lock({}, ["ledger!", "more!"], before=before)
    gemfile = 'source "https://gems.example.invalid"\ngem "ledger", git: "https://x.invalid"\ngem "more", git: "https://x.invalid"\n'
    found = rubykit.service(tmp_path / "svc", gemfile, lock)
    collection, planned = rubykit.through(found)
    tree = rubykit.laid(found, collection, planned)
    assert tree[f"{HOME}/bundler/gems/ledger-{commit[:12]}/lib/ledger.rb"] == ("file", b"1\n")
    told = {each.dependency.name: each.dependency for each in collection.archives}
    assert told.keys() == {"ledger", "more"}
    assert told["ledger"].built_from == f"git+{upstream.as_uri()}@{commit}"
    assert told["ledger"].archive == told["more"].archive == f"deps/ledger-{commit[:12]}.tar"


def test_sources_with_extensions_are_refused_with_the_way_out(index: Index, tmp_path: Path) -> None:
    before = "PATH\n  remote: n\n  specs:\n    n (1.0)\n"
    spec = 'Gem::Specification.new { |s| s.extensions = ["ext/extconf.rb"] }\n'
    lock = rubykit.lock({}, ["n!"], before=before)
    gemfile = f'source "{INDEX}"\ngem "n", path: "n"\n'
    found = rubykit.service(tmp_path / "svc", gemfile, lock, {"n/n.gemspec": spec})
    message = refused(ResolveError, found)
    assert "n.gemspec of n has extensions to build" in message
    assert "serve it from an index" in message


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://git.example.invalid/team/ledger.git", "ledger"),
        ("git@git.example.invalid:team/ledger.git", "ledger"),
        ("https://git.example.invalid/team/ledger/", "ledger"),
        ("/srv/git/ledger", "ledger"),
    ],
)
def test_folders_of_git_gems_are_named_as_bundler_names_them(remote: str, name: str) -> None:
    choice = Choice(spec=Spec("x", "1"), kind="git", remote=remote, revision="0123456789abcdef" * 2 + "01234567")
    assert source.stem(choice) == f"{name}-0123456789ab"


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


@pytest.mark.parametrize("how", ["environment", "mirror's address", "project's file", "user's file", "lock", "by url"])
def test_logins_come_from_where_bundler_keeps_them(
    how: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.login = basic("robot", "s3cret@1")
    host, lock, files = index.url.removeprefix("http://"), LOCK, {}
    if how == "environment":
        monkeypatch.setenv(settings.key(host), "robot:s3cret%401")
    elif how == "mirror's address":
        monkeypatch.setenv(settings.key(f"mirror.{INDEX}/"), f"http://robot:s3cret%401@{host}/")
    elif how == "project's file":
        files = {".bundle/config": f'---\n{settings.key(host)}: "robot:s3cret%401"\n'}
    elif how == "user's file":
        makers.write(tmp_path / "home" / ".bundle", {"config": f'---\n{settings.key(host)}: "robot:s3cret%401"\n'})
    elif how == "by url":
        monkeypatch.setenv(settings.key(f"{index.url}/"), "robot:s3cret%401")
    else:
        monkeypatch.delenv(settings.key(f"mirror.{INDEX}/"))
        lock = LOCK.replace(f"{INDEX}/", f"http://robot:s3cret%401@{host}/")
    gemfile = GEMFILE.replace(INDEX, index.url) if how == "lock" else GEMFILE
    found = rubykit.service(tmp_path / "svc", gemfile, lock, files)
    collection, planned = rubykit.through(found)
    sealed = [*planned.generated.values(), *collection.lock.files.values()]
    assert not any(b"s3cret" in each for each in sealed)
    assert not any("s3cret" in str(each.dependency) for each in collection.archives)


def test_a_wrong_login_is_told_without_the_secret(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.login = basic("robot", "right")
    monkeypatch.setenv(settings.key(index.url.removeprefix("http://")), "robot:wr0ng")
    message = refused(ResolveError, rubykit.service(tmp_path / "svc", GEMFILE, LOCK))
    assert "answered 401" in message
    assert "wr0ng" not in message


@pytest.mark.parametrize("name", ["BUNDLE_MIRROR__ALL", "BUNDLE_MIRROR__HTTPS://GEMS__EXAMPLE__INVALID"])
def test_mirrors_are_bundler_s(name: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.key(f"mirror.{INDEX}/"))
    monkeypatch.setenv(name, f"{index.url}/deeper/")
    rubykit.through(rubykit.service(tmp_path / "svc", GEMFILE, LOCK))
    assert {path for path, _ in index.asked} == {"/deeper/gems/a-1.0.0.gem", "/deeper/gems/b-2.0.gem"}


def test_settings_have_bundler_s_order(tmp_path: Path) -> None:
    makers.write(tmp_path, {"app/.bundle/config": '---\nBUNDLE_A: "local"\n'})
    makers.write(tmp_path, {"home/.bundle/config": "---\nBUNDLE_A: \"user\"\nBUNDLE_B: user\nBUNDLE_C: 'user'\n"})
    environ = {"HOME": str(tmp_path / "home"), "BUNDLE_A": "env", "BUNDLE_B": "env", "OTHER": "x"}
    assert settings.read(tmp_path / "app", environ) == {"BUNDLE_A": "local", "BUNDLE_B": "env", "BUNDLE_C": "user"}
    moved = {**environ, "BUNDLE_APP_CONFIG": str(tmp_path / "none"), "BUNDLE_USER_HOME": str(tmp_path / "none")}
    assert settings.read(tmp_path / "app", moved) == {
        "BUNDLE_A": "env",
        "BUNDLE_B": "env",
        "BUNDLE_APP_CONFIG": str(tmp_path / "none"),
        "BUNDLE_USER_HOME": str(tmp_path / "none"),
    }


def test_a_section_of_several_indexes_is_asked_in_turn(index: Index, tmp_path: Path) -> None:
    lock = LOCK.replace("  specs:", f"  remote: {index.url}/\n  specs:")
    with rubykit.serving() as other:
        lock = lock.replace("  specs:", f"  remote: {other.url}/\n  specs:")
        gemfile = f'{GEMFILE}source "{index.url}"\nsource "{other.url}"\n'
        rubykit.through(rubykit.service(tmp_path / "svc", gemfile, lock))


def test_a_base_without_ruby_or_its_version_is_refused(index: Index, tmp_path: Path) -> None:
    found = rubykit.service(tmp_path / "svc", GEMFILE, LOCK)
    taken = ruby.pin_archives(found, ())
    facts = msgspec.structs.replace(rubykit.FACTS, interpreter="", interpreter_version="")
    assert "has no ruby" in refused(ResolveError, found, rubykit.pinned(facts, archives=taken))
    facts = msgspec.structs.replace(rubykit.FACTS, interpreter_version="")
    assert "RUBY_VERSION is not set" in refused(ResolveError, found, rubykit.pinned(facts, archives=taken))


def look(folder: Path, files: dict[str, str]) -> Any:
    makers.write(folder, files)
    return ruby.look(folder, list(files))


def test_init_sees_what_is_there(tmp_path: Path) -> None:
    files = {
        "Gemfile": 'ruby "~> 3.3.1"\ngem "puma"\ngem "redis"\ngem "pg"\ngroup :smoke do\n  gem "minitest"\nend\n',
        "Gemfile.lock": LOCK,
        "config.ru": 'run ->(env) { [200, {}, ["/healthz"]] }\n',
        "config/puma.rb": "port ENV.fetch('PORT', 8080)\n",
        "lib/a.rb": 'get("/healthz") { 1 }\n',
        "smoke/check.rb": "",
    }
    found = look(tmp_path, files)
    assert found.start == ("bundle", "exec", "puma", "-C", "config/puma.rb")
    assert (found.port, found.base, found.health) == (8080, "ruby:3.3-slim", "/healthz")
    assert found.include == ("config.ru", "config/**", "lib/**")
    assert found.sidecars == ("postgres:17", "redis:7")
    assert (found.group, found.checks) == ("smoke", ("bundle", "exec", "ruby", "smoke/check.rb"))
    assert found.image == "ruby:3.3"


def test_init_makes_do_with_less(tmp_path: Path) -> None:
    found = look(tmp_path, {"Gemfile": 'gem "x"\n', "app.rb": "1\n"})
    assert (found.start, found.port, found.include) == (("bundle", "exec", "ruby", "app.rb"), None, ("app.rb",))
    found = look(tmp_path / "rack", {"Gemfile": 'gem "falcon"\n', "config.ru": ""})
    assert found.start == ("bundle", "exec", "falcon")
