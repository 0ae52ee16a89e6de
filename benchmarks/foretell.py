"""Foretell an image of many small packages: `foretell.py FOLDER prepare COUNT` once, then `foretell.py FOLDER`.

The second prints the digest as `cdaf package` would seal it; the first writes wheels and their plan and fills the
cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SITE = "/app/.venv/lib/python3.13/site-packages"


def main(folder: str, *prepare: str) -> None:
    """Prepare, or foretell and print."""
    work = Path(folder)
    if prepare:
        _prepare(work, int(prepare[1]))
    import msgspec

    from cdaf.images import content, image, plan

    sums = msgspec.json.decode((work / "sums.json").read_bytes(), type=dict[str, str])
    contents = {name: content.of_file(work / name, sha256) for name, sha256 in sums.items()}
    (wanted,) = plan.decode((work / "plan.json").read_bytes()).images
    print(image.assemble(wanted, contents).digest)


def _prepare(work: Path, count: int) -> None:
    import hashlib
    import zipfile

    import msgspec

    from cdaf.images import plan

    work.mkdir()
    names = [f"package{number}-1.0-py3-none-any.whl" for number in range(count)]
    for name in names:
        with zipfile.ZipFile(work / name, "w", zipfile.ZIP_DEFLATED) as wheel:
            for part in range(30):
                wheel.writestr(f"{name.partition('-')[0]}/part{part}.py", f"value = {part}\n" * 50)
    size = -(-count // 12)
    groups = [names[start : start + size] for start in range(0, count, size)]
    layers = tuple(
        plan.Layer(f"group {number}", tuple(plan.Unpack(name, _SITE) for name in group))
        for number, group in enumerate(groups)
    )
    config = plan.Config(("python",), {}, "10001:10001", "/app", 8000, {})
    base = plan.BasePin("scratch", "")
    wanted = plan.ImagePlan("linux/amd64", base, layers, config, "2026-01-01T00:00:00Z")
    (work / "plan.json").write_bytes(plan.encode(plan.Plans(1, (wanted,))))
    sums = {name: hashlib.sha256((work / name).read_bytes()).hexdigest() for name in names}
    (work / "sums.json").write_bytes(msgspec.json.encode(sums))


if __name__ == "__main__":
    from cdaf.__main__ import leave

    main(*sys.argv[1:])
    leave(0)
