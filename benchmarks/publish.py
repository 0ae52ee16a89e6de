"""From a bundle to a digest in a registry, without the smoke test: `publish.py FILE TARGET [PLATFORM]…`.

`cdaf publish` wants a passed smoke record, and what cdaf is compared with tests nothing. A program of its own, so that
it starts as cold as cdaf does.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def main(file: str, target: str, *platforms: str) -> None:
    """Verify, assemble, publish; prints where it stands now, and the images' sizes."""
    from cdaf import releasing, targets
    from cdaf.bundles import bundle

    opened = bundle.open(Path(file))
    (wanted,) = targets.parse([target], opened.manifest)
    with releasing.uploading(opened, (wanted,)) as uploads:
        images = releasing.images(uploads, platforms)
    for each in targets.publish(wanted, targets.Release(opened, images)):
        print(each.reference)
    if note := os.environ.get("BENCHMARKS_PEAK"):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found, "proc(5) has VmHWM"
        Path(note).write_text(str(int(found[1]) * 1024))


if __name__ == "__main__":
    from cdaf.__main__ import leave

    main(*sys.argv[1:])
    leave(0)
