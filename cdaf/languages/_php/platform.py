"""Platform requirements held against the base: its PHP, and the extensions that PHP itself says it has.

Of what a lock can ask for, `lib-…` and `hhvm` cannot be told and are left to Composer's own check at the start of the
service; so are extensions on a platform that does not run here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cdaf import progress
from cdaf.errors import CdafError
from cdaf.languages._php import constraint, lockfile
from cdaf.languages._php.lockfile import Lockfile
from cdaf.languages._php.values import Package
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base
from cdaf.projects.project import Project

_ASK = "foreach (get_loaded_extensions() as $e) { echo strtolower(strtr($e, ' ', '-')), ' ', phpversion($e), \"\n\"; }"
_CALLED = {"ext-opcache": "zend-opcache"}  # Composer's name and PHP's own
_WIDE = ("amd64", "arm64", "ppc64le", "riscv64", "s390x", "mips64le")


def faults(found: Lockfile, packages: Sequence[Package], bases: Sequence[Base]) -> list[str]:
    """What the packages of the image ask of PHP itself, and a base is not."""
    asked = list(_asked(found, packages))
    return list(dict.fromkeys(fault for base in bases for fault in _php(base, asked)))


def extensions(found: Lockfile, packages: Sequence[Package], bases: Sequence[Base]) -> list[str]:
    """The extensions that packages of the image need and a base has not."""
    needed = [each for each in _asked(found, packages) if each[1].startswith("ext-")]
    wrong: dict[str, None] = {}
    for base in bases if needed else ():
        if base.facts.modules:
            wrong |= dict.fromkeys(_extension_faults(base, needed))
        elif base.digest:
            progress.note(
                f"{base.platform}: no word of the extensions of {base.reference}, for `cdaf lock` could not run it"
            )
    return list(wrong)


def _asked(found: Lockfile, packages: Sequence[Package]) -> Iterator[tuple[str, str, str]]:
    """Who asks, for what, and of which version; what a package of the lock provides (a polyfill) is not asked for."""
    main = [each for each in packages if not each.dev]
    provided = {name for each in main for name in each.provides} | set(_own(found.manifest))
    platform = found.manifest.get("require") or {}
    asking = [("composer.json", platform), *((each.label, each.needs) for each in main)]
    for label, needs in asking:
        for name, wanted in needs.items():
            if name.lower().startswith(("php", "ext-")) and "/" not in name and name.lower() not in provided:
                yield label, name.lower(), str(wanted)


def overrides(found: Lockfile, php: str, *, dev: bool) -> dict[str, str]:
    """What Composer is to take for the platform: the base's PHP, and every extension that is asked for.

    Whether the base has the extensions is judged apart from Composer, which does not run there.
    """
    told = {"php": php} if php else {}
    tables = [found.manifest.get("require"), found.manifest.get("require-dev") if dev else None]
    tables += [entry.get("require") for entry, is_dev in lockfile.entries(found) if dev or not is_dev]
    for table in tables:
        for name, wanted in (table if isinstance(table, dict) else {}).items():
            if name.lower().startswith(("ext-", "lib-")):
                told.setdefault(name.lower(), _fitting(str(wanted)))
    return told


def _fitting(wanted: str) -> str:
    """A version that a constraint lets in."""
    numbers = re.findall(r"\d+(?:\.\d+)*", wanted)
    near = (text for number in numbers for text in (number, f"{number}.1", f"{int(number.split('.')[0]) + 1}"))
    return next((each for each in near if constraint.allows(wanted, constraint.version(each) or (0, 0, 0, 0))), "1.0")


def _own(manifest: Mapping[str, object]) -> Iterator[str]:
    for key in ("provide", "replace"):
        told = manifest.get(key)
        yield from (name.lower() for name in (told if isinstance(told, dict) else {}))


def _php(base: Base, asked: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    told = base.facts.interpreter_version
    given = constraint.version(told)
    for label, name, wanted in asked:
        if name == "php-64bit" and base.platform.split("/")[1] not in _WIDE:
            yield f"{label} needs 64 bits, and {base.platform} has fewer"
        if name == "php" and given and constraint.allows(wanted, given) is False:
            yield f"{label} needs php {wanted}, and {base.reference} has {told}"
        elif name in ("php-zts", "php-debug"):
            yield f"{label} needs {name}, which official images are not: name another base, or another package"


def _extension_faults(base: Base, asked: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    have = dict(each.rpartition(" ")[::2] for each in base.facts.modules)
    for label, name, wanted in asked:
        key = _CALLED.get(name, name.removeprefix("ext-"))
        if key not in have:
            yield f"{label} needs {name}, which {base.reference} has not"
            continue
        given = constraint.version(have[key])
        if given and constraint.allows(wanted, given) is False:
            yield f"{label} needs {name} {wanted}, and {base.reference} has {have[key]}"


def ask(project: Project, base: Base) -> Base:
    """The base of a service with the extensions that its PHP says it has, where that can be asked."""
    if base.reference != base_of(project) or not base.digest or not base.facts.interpreter:
        return base
    from cdaf import engine

    try:
        if not engine.runs(base.platform):
            return base
        image = engine.ensure(base.reference, base.digest, base.platform)
        ran = engine.run(image, [base.facts.interpreter, "-r", _ASK], platform=base.platform)
    except CdafError as error:
        progress.note(f"the extensions of {base.reference} are not told: {error.message}")
        return base
    told = tuple(sorted(ran.stdout.decode(errors="replace").split("\n"))) if not ran.code else ()
    return msgspec.structs.replace(base, facts=msgspec.structs.replace(base.facts, modules=tuple(filter(None, told))))
