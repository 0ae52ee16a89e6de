"""Give a bundle's image to the engine: `loaded.py FILE` prints its id there and the bytes of its own layers."""

from __future__ import annotations

import sys
from pathlib import Path


def main(file: str) -> None:
    """Assemble, load, print."""
    from cdaf import engine
    from cdaf.bundles import bundle
    from cdaf.images import building

    opened = bundle.open(Path(file))
    (image,) = building.images(opened)
    print(engine.load(image), sum(layer.size for layer in opened.manifest.images[0].layers))


if __name__ == "__main__":
    main(*sys.argv[1:])
