"""A wheel in its one canonical form: the bytes hang on what is in it, not on what made it."""

import io
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipInfo

from wheel.wheelfile import WheelError, WheelFile

from cdaf.errors import ResolveError

_EPOCH = (1980, 1, 1, 0, 0, 0)


class _Canonical(WheelFile):  # type: ignore[misc]
    """A writer that gives every member the same time and one mode of two, RECORD included; nothing is compressed,
    for a compressor's version would show."""

    def writestr(self, zinfo_or_arcname: Any, data: Any, compress_type: int | None = None) -> None:  # noqa: ARG002
        """Write one member."""
        named = isinstance(zinfo_or_arcname, ZipInfo)
        executable = named and bool((zinfo_or_arcname.external_attr >> 16) & 0o111)
        member = ZipInfo(zinfo_or_arcname.filename if named else zinfo_or_arcname, _EPOCH)
        member.create_system = 3  # Unix, whose modes these are
        member.external_attr = (0o100755 if executable else 0o100644) << 16
        member.compress_type = ZIP_STORED
        super().writestr(member, data, ZIP_STORED)


def repack(built: Path, into: Path) -> Path:
    """Write the wheel anew below `into`, under its own name: members sorted, `.dist-info` last, RECORD true.

    Raises ResolveError when it is not a sound wheel.
    """
    target = into / built.name
    try:
        with WheelFile(built) as source, _Canonical(target, "w", ZIP_STORED) as out:
            info = source.dist_info_path
            out.dist_info_path, out.record_path = info, f"{info}/RECORD"
            dropped = {f"{info}/RECORD", f"{info}/RECORD.jws", f"{info}/RECORD.p7s"}
            members = [each for each in source.infolist() if not each.is_dir() and each.filename not in dropped]
            for member in sorted(members, key=lambda each: (each.filename.startswith(f"{info}/"), each.filename)):
                with source.open(member) as opened:
                    out.writestr(member, opened.read())
    except (WheelError, BadZipFile, io.UnsupportedOperation, OSError, KeyError) as error:
        raise ResolveError(f"{built.name}, as its build backend made it, is no sound wheel: {error}") from error
    return target
