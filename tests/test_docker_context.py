"""What a Dockerfile's build is sent, where links lead about; nothing is built here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cdaf.errors import ProjectError
from cdaf.languages import docker
from cdaf.languages._docker import context
from cdaf.projects import pins, project
from tests import dockerkit, makers

LINKS = {
    "out": "../beside",
    "near": "out",  # a chain, whose last link leads out
    "round": "shared/../near/more",
    "inside": "within",
    "within": "shared",
    "shared/on": "../near",
    "shared/in/up": "../a",
}


def repository(folder: Path, more: str = "", links: dict[str, str] = LINKS) -> project.Project:
    """A service beside a folder that is not its repository's."""
    makers.write(folder / "beside", {"a": "not ours", "more/a": "nor this"})
    root = dockerkit.service(folder / "svc", more=more, files={"shared/a": "ours", "shared/in/b": "ours"})
    for name, target in links.items():
        (root / name).symlink_to(target)
    return project.read(root, environ={})


@pytest.mark.parametrize("where", ["out", "near", "near/more", "round", "shared/on/more"])
def test_a_folder_that_lies_outside_of_the_repository_by_links(tmp_path: Path, where: str) -> None:
    found = repository(tmp_path, f'[docker.contexts]\nother = "{where}"\n')
    makers.git(found.repository, "init", "-q", "../beside")  # so that git would list what is there
    makers.git(tmp_path / "beside", "add", ".")
    assert (found.root / where).is_dir()
    fault = f"docker.contexts.other: {where!r} is no folder of the repository, written from its root"
    assert docker.check(found) == [fault]
    with pytest.raises(ProjectError) as caught:
        docker.resolve(found, pins.Pins())
    assert fault in caught.value.message


def test_a_folder_that_links_lead_to_within_the_repository(tmp_path: Path) -> None:
    found = repository(tmp_path, '[docker.contexts]\nother = "inside"\n', {"inside": "within", "within": "shared"})
    (found.root / "shared" / "in" / "up").symlink_to("../a")
    makers.commit(found.root)
    wrong: list[str] = []
    sent = context.gather(found, wrong)
    assert wrong == []
    assert found.root / "shared" in sent.inputs  # of a link itself, git would see no change in there
    assert [(each.name, each.link) for each in sent.named["other"]] == [("a", ""), ("in/b", ""), ("in/up", "../a")]


def test_links_that_lead_out_of_what_is_sent(tmp_path: Path) -> None:
    found = repository(tmp_path)
    (found.root / "deep").symlink_to("near/more/a")  # a file beyond a folder that leads out
    (found.root / "loop").symlink_to("loop")
    makers.commit(found.root)
    told = docker.check(found)
    for name, target in {**LINKS, "deep": "near/more/a"}.items():
        fault = f"docker.context: {name} is a symbolic link out of the context, to {target}"
        assert (fault in told) is (name not in ("inside", "within", "shared/in/up"))
    assert len(told) == 5


def test_a_link_out_of_a_named_folder_to_another_of_the_repository(tmp_path: Path) -> None:
    """A context is alone where it is built: what is beside it here is not there."""
    found = repository(tmp_path, '[docker.contexts]\nother = "shared"\n', {"shared/hello": "../hello"})
    makers.commit(found.root)
    assert docker.check(found) == [
        "docker.contexts.other: hello is a symbolic link out of the context, to ../hello",
    ]


def sent(folder: Path, into: Path, files: Mapping[str, str] = {}) -> tuple[str, ...]:
    """The last names of the folders that a build is given, which are all that BuildKit calls them by."""
    makers.write(folder, files)
    found = context.gather(project.read(folder, environ={}), [])
    place, file, named = context.lay(found, found.identity, into)
    return (place.name, file.parent.name, *(each.name for each in named.values()))


def test_folders_of_other_content_have_other_names(tmp_path: Path) -> None:
    found = repository(tmp_path, '[docker.contexts]\nother = "shared"\n', {})
    first = sent(found.root, tmp_path / "1")
    assert sent(found.root, tmp_path / "2") == first
    assert len(set(first)) == 3
    changed = [sent(found.root, tmp_path / name.replace("/", "-"), {name: "OURS"}) for name in ("hello", "shared/a")]
    dockerfile = (found.root / "Dockerfile").read_text().replace("made", "MADE")
    changed.append(sent(found.root, tmp_path / "3", {"Dockerfile": dockerfile}))
    for number, names in enumerate(zip(first, *changed, strict=True)):
        assert len(set(names)) == 4, number


@pytest.mark.parametrize("name", ["hello", "Dockerfile", "shared/a"])
def test_a_file_that_changes_before_it_is_laid_out(tmp_path: Path, name: str) -> None:
    found = repository(tmp_path, '[docker.contexts]\nother = "shared"\n', {})
    seen = context.gather(found, [])
    identity = seen.identity
    context.lay(seen, identity, tmp_path / "1")
    data = (found.root / name).read_bytes()
    (found.root / name).write_bytes(bytes(reversed(data)))
    with pytest.raises(ProjectError, match="files changed while they were packaged: some") as caught:
        context.lay(seen, identity, tmp_path / "2")
    assert caught.value.hint == "package again when nothing changes them"
    (found.root / name).unlink()
    with pytest.raises(ProjectError, match=f"changed while they were packaged: .*{name}$"):
        context.lay(seen, identity, tmp_path / "3")
