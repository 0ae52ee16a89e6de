"""The service's user: a line in copies of the base's passwd and group."""

from cdaf.errors import ResolveError
from cdaf.projects.pins import Base
from cdaf.settings.settings import User

_HOME, _SHELL = "/app", "/usr/sbin/nologin"


def passwd(base: Base, user: User) -> bytes:
    """The base's passwd with the user. Raises ResolveError when the base has another user of that name or id."""
    return _with(base, user, base.facts.passwd, f"{user.name}:x:{user.id}:{user.id}::{_HOME}:{_SHELL}", "user")


def group(base: Base, user: User) -> bytes:
    """The base's group file with the user's group."""
    return _with(base, user, base.facts.group, f"{user.name}:x:{user.id}:", "group")


def _with(base: Base, user: User, text: str, line: str, what: str) -> bytes:
    rows = [row.split(":") for row in text.splitlines() if row.count(":") >= 3]
    if any(row[0] == user.name and row[2] == str(user.id) for row in rows):
        return text.encode()
    for row in rows:
        if row[0] == user.name or row[2] == str(user.id):
            raise ResolveError(
                f"{base.reference} has a {what} {row[0]} with id {row[2]}, and the service's is {user.name}, {user.id}",
                "change service.user",
            )
    kept = text if not text or text.endswith("\n") else text + "\n"
    return f"{kept}{line}\n".encode()
