"""What Bundler wants to find at /app: Gemfile, lock, and settings that keep it to what the image holds."""

from __future__ import annotations

from collections.abc import Sequence

from cdaf.errors import ProjectError, faults
from cdaf.images.plan import Entry, Place
from cdaf.languages._ruby import lockfile
from cdaf.languages._ruby.resolve import Read
from cdaf.languages._ruby.values import BUNDLE
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects import git
from cdaf.projects.project import Project

# The official images lead Bundler to a folder of their own, where it would find none of this.
ENVIRONMENT = {"BUNDLE_APP_CONFIG": f"{frame.FOLDER}/.bundle"}


def entries(project: Project, read: Read, without: Sequence[str], generated: Generated) -> list[Entry]:
    """Gemfile, lock and what the Gemfile reads beside it, and Bundler's settings; the service's own files win."""
    placed = {file.name for file in project.files}
    found: list[Entry] = [configuration(without, generated)]
    for name, data in _files(read).items():
        if name not in placed:
            found.append(Place(frame.generate(generated, f"bundle/{name}", data, "own"), f"{frame.FOLDER}/{name}"))
    return found


def _files(read: Read) -> dict[str, bytes]:
    folder = read.path.parent
    tracked = {entry.name for entry in git.tracked(folder)}
    names = dict.fromkeys([read.gemfile.name, *read.asked.files])
    wrong = [f"{each} is read by {read.gemfile.name}, and not tracked by git" for each in names if each not in tracked]
    if wrong:
        raise ProjectError(faults(read.gemfile.name, wrong), "commit what is missing")
    return {
        read.path.name: lockfile.redacted(read.path.read_bytes()),
        **{name: (folder / name).read_bytes() for name in names},
    }


def configuration(without: Sequence[str], generated: Generated) -> Place:
    """Bundler's settings of the project, as `bundle config set --local` writes them."""
    told = {"BUNDLE_DEPLOYMENT": "true", "BUNDLE_FROZEN": "true", "BUNDLE_PATH": BUNDLE}
    if without:
        told["BUNDLE_WITHOUT"] = ":".join(without)
    text = "---\n" + "".join(f'{key}: "{value}"\n' for key, value in sorted(told.items()))
    member = frame.generate(generated, "bundle/config", text.encode(), f"without-{'-'.join(without) or 'none'}")
    return Place(member, f"{frame.FOLDER}/.bundle/config")
