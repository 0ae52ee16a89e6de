"""Tags from their templates: a release has them all, a snapshot that of its commit alone, a dirty tree none."""

from string import Formatter

from cdaf import versions
from cdaf.bundles.manifest import Manifest
from cdaf.registries import reference
from cdaf.settings import settings

_COMMIT = {"commit"}


def rendered(declared: settings.Publish, manifest: Manifest) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """The tags that never move, those that may, and what is wrong with them."""
    version = versions.parse(manifest.service.version)
    fields = versions.fields(version, manifest.source.commit)
    kept = [tuple(t for t in each if _applies(t, manifest)) for each in (declared.tags, declared.moving)]
    fixed, moving = (tuple(dict.fromkeys(_filled(template, fields) for template in each)) for each in kept)
    wrong = [f"{tag!r} cannot be a tag" for tag in (*fixed, *moving) if not reference.is_tag(tag)]
    wrong += [f"tag {tag!r} is declared both as moving and as not" for tag in fixed if tag in moving]
    return fixed, moving, wrong


def _applies(template: str, manifest: Manifest) -> bool:
    """A commit's tag names a commit; every other template, a fixed word too, a release; none a dirty tree."""
    named = _fields(template)
    if manifest.source.dirty or ("commit" in named and not manifest.source.commit):
        return False
    return manifest.source.release or named == _COMMIT


def _fields(template: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def _filled(template: str, fields: dict[str, str]) -> str:
    """The template with its fields; a field that there is not stays as it stands and so is no tag."""
    return "".join(
        literal + (fields.get(field, f"{{{field}}}") if field is not None else "")
        for literal, field, _, _ in Formatter().parse(template)
    )
