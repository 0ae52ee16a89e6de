"""The one family of errors a user sees, each class owning the exit code that says who can mend it."""


class CdafError(Exception):
    """Something that the user can act on.

    `message` is lower case, says what is wrong and names the thing; `hint` is one imperative line that mends it;
    `output` is the tool's own output, printed before the message. `transient` turns any exit code into 75
    (EX_TEMPFAIL of sysexits.h): trying again later may work. `data` is what programs may want besides, such as the
    path of a report; with --json it stands beside the message.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", output: str = "", *, transient: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.output = output
        self.transient = transient
        self.data: dict[str, object] = {}


class UsageError(CdafError):
    """The command line is wrong."""

    exit_code = 2


class ProjectError(CdafError):
    """The project's own files are wrong."""

    exit_code = 3


class ResolveError(CdafError):
    """A dependency cannot be had as declared."""

    exit_code = 4


class BundleError(CdafError):
    """The file is not a bundle, or changed after sealing."""

    exit_code = 5


class ImageError(CdafError):
    """The bundle does not build into an image."""

    exit_code = 6


class SmokeError(CdafError):
    """The image does not work beside its sidecars."""

    exit_code = 7


class PublishError(CdafError):
    """A target refused the image or package."""

    exit_code = 8


class EngineError(CdafError):
    """Docker is missing, too old or unreachable."""

    exit_code = 9


EXIT_TRANSIENT = 75
EXIT_INTERRUPTED = 130


def exit_code(error: CdafError) -> int:
    """The process's exit code for an error: its class's, or 75 when trying again may help."""
    return EXIT_TRANSIENT if error.transient else error.exit_code


def faults(subject: str, found: list[str]) -> str:
    """All faults of one input as one message: the subject, then a line for each."""
    if len(found) == 1:
        return f"{subject}: {found[0]}"
    return "\n".join([f"{subject}: {len(found)} faults", *(f"  - {fault}" for fault in found)])
