"""Run cdaf's command line in this very process and note its own peak memory: `peak.py OUT ARGUMENT…`.

The kernel's account of a process that has ended counts its children in (getrusage(2)), and uv is one of them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if __name__ == "__main__":
    note = Path(sys.argv.pop(1))
    from cdaf.cli import run

    code = run(sys.argv[1:])
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "proc(5) has VmHWM"
    note.write_text(str(int(found[1]) * 1024))
    sys.exit(code)
