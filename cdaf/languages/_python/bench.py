"""Where a native build runs."""

import msgspec

from cdaf.languages._python.values import Target


class Bench(msgspec.Struct, frozen=True):
    """Where a build runs: the image, and the target that it is for."""

    target: Target
    reference: str
    digest: str

    @property
    def key(self) -> str:
        """Tells apart what the same source becomes in different places."""
        return f"{self.target.platform} {self.digest} {self.target.base.digest}"
