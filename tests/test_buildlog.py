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


TAKEN = """\
#1 [internal] load metadata for docker.io/library/python:3.13-slim
#2 [context a/b:1] load metadata for docker.io/a/b@sha256:0
#3 resolve image config for docker-image://docker.io/docker/dockerfile:1
#4 docker-image://docker.io/docker/dockerfile:1@sha256:1
#5 FROM docker.io/library/golang:1.24@sha256:2
#6 [linux/arm64 one 1/2] FROM docker.io/library/node:24
#7 [one 2/2] RUN echo FROM x
#7 0.210 FROM never
#7 0.210 \r#9 FROM never
#7 FROM never
#8 [internal] load build definition from Dockerfile
"""


def test_the_images_that_a_build_took_are_in_the_names_of_its_steps() -> None:
    assert list(buildlog.images(TAKEN)) == [
        "docker.io/library/python:3.13-slim",
        "docker.io/a/b@sha256:0",
        "docker.io/docker/dockerfile:1",
        "docker.io/docker/dockerfile:1@sha256:1",
        "docker.io/library/golang:1.24@sha256:2",
        "docker.io/library/node:24",
    ]


def test_the_cause_is_buildkit_s_last_word() -> None:
    said = "#7 0.210 ERROR: no\n#7 0.3 x\rERROR: no\nERROR: failed to build: failed to solve: this\nView it\n"
    assert buildlog.cause(said) == "this"
    assert buildlog.cause("ERROR: first\nerror: Cache export\n") == "Cache export"
    assert buildlog.cause("#7 0.210 ERROR: no\n") == ""
