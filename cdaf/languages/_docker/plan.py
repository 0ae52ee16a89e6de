"""The last act: images under the labels of this commit, and what the checks stand on."""

from __future__ import annotations

from cdaf import languages
from cdaf.images.plan import Layer, Plans, SmokePlan
from cdaf.languages._docker.finish import Template, finished
from cdaf.languages._shared import frame
from cdaf.projects import pins
from cdaf.projects.project import Project


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """The images as they are, whole, and for each platform the checks' layer: no other plan is needed."""
    built = [each for each in collection.lock.packages if isinstance(each, Template)]
    smoke = tuple(_checks(project, collection, each.platform) for each in built if project.settings.smoke.checks)
    sealed = tuple(finished(project, each) for each in built)
    return languages.Planned(Plans(1, (), smoke), {}, sealed=sealed)


def _checks(project: Project, collection: languages.Collection, platform: str) -> SmokePlan:
    """The checks' files, on the tested image or on a base of their own."""
    named = project.settings.smoke.image
    base = frame.pin(pins.base(collection.lock.pins, named, platform)) if named else None
    files = tuple(frame.placed(file, "smoke") for file in project.checks)
    layers = (Layer("smoke", files),) if files else ()
    return SmokePlan(platform, layers, {}, frame.FOLDER, base)
