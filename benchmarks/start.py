"""Run in an image of orders, without network: prints the seconds from starting its server to its first answer.

Every answer counts, a refusal too; the databases that the service needs are not there.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
LONGEST = 60  # seconds


def main(command: list[str]) -> None:
    """Start the command, ask until it answers, stop it, print."""
    began = time.perf_counter()
    server = subprocess.Popen(command, env=os.environ | NOWHERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers() and server.poll() is None and time.perf_counter() < began + LONGEST:
            time.sleep(0.002)
        seconds = time.perf_counter() - began
        if server.poll() is not None or not answers():
            sys.exit("the service gives no answer")
        print(seconds)
    finally:
        server.terminate()
        server.wait()


def answers() -> bool:
    """Whether somebody speaks HTTP at port 8000."""
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=LONGEST)
    try:
        connection.request("GET", "/nothing")
        return bool(connection.getresponse().status)
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1:])
