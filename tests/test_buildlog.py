"""Which step BuildKit's log is at."""

from cdaf.engine import buildlog

LOG = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 190B done
#1 DONE 0.0s
#2 [one 1/2] FROM docker.io/library/python:3.13-slim
#2 CACHED

#3 [one 2/2] RUN make
#3 0.210 #9 [one 9/9] RUN as a step would be named

#4 [two 1/1] RUN make test
#4 0.100 testing
#4 ...

#3 [one 2/2] RUN make
#3 0.380 made
#3 DONE 0.5s
------
 > [two 1/1] RUN make test:
ERROR: failed to solve
"""


def test_steps_are_said_by_name_when_it_is_their_turn() -> None:
    said: list[str] = []
    read = buildlog.reader(said.append)
    for line in LOG.splitlines():
        read(line)
    one, two = "[one 2/2] RUN make", "[two 1/1] RUN make test"
    assert said[:2] == [
        "[internal] load build definition from Dockerfile",
        "[one 1/2] FROM docker.io/library/python:3.13-slim",
    ]
    assert said[2:] == [one, two, one]
