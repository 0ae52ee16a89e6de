"""One sealed bundle in CI, the tested image's digest in CD."""

__version__ = "0.1.0"

# Raised whenever the same plan would assemble to other bytes: a new coder, another tar layout, another config field.
ASSEMBLER_REVISION = 1
