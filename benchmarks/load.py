"""Give a bundle's image to the engine: `load.py FILE` prints the seconds that takes, as the smoke test would do it.

The time is that of the load alone: by then, a smoke test has assembled the image and asked the engine for its facts.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main(file: str) -> None:
    """Assemble, load, print."""
    from cdaf import engine
    from cdaf.bundles import bundle
    from cdaf.images import building

    (image,) = building.images(bundle.open(Path(file)))
    engine.facts()
    began = time.perf_counter()
    engine.load(image)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
