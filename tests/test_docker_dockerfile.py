"""Reading Dockerfiles: stages, what leads to them, and the images that a build takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import ProjectError
from cdaf.languages._docker import dockerfile, rules, stages
from cdaf.languages._docker.stages import Needed
from cdaf.settings.settings import Docker

WHOLE = r"""# a comment, so that the next line directs nothing
# escape=`
ARG GO=1.24
ARG VARIANT
ARG BASE="alpine:3"
FROM --platform=$BUILDPLATFORM golang:${GO}${VARIANT:+-$VARIANT} AS Compiler
RUN --mount=type=cache,target=/cache --mount=type=bind,from=tools:2,target=/tools \
    # a comment between

    make FROM=nothing
COPY --from=assets --chown=1 /a /b
RUN <<EOF
FROM not-an-image
COPY --from=nor-this x y
EOF
FROM compiler AS unused
COPY --from=never:1 /a /a
FROM ${BASE}
COPY --from=COMPILER /a /a
COPY --from=0 /b /b
COPY <<-"END" /c
	FROM neither
	END
EXPOSE 8080/tcp 9090
"""


def read(text: str) -> dockerfile.Dockerfile:
    return dockerfile.parse(text.encode(), "Dockerfile")


def needed(text: str, platform: str = "linux/arm64", **arguments: str) -> Needed:
    found = read(text)
    wanted = stages.target(found, None)
    assert wanted
    return stages.needed(found, wanted, platform, arguments, {"assets": "web"})


def test_what_a_build_takes() -> None:
    found = read(WHOLE)
    assert [(each.name, each.base) for each in found.stages] == [
        ("compiler", "golang:${GO}${VARIANT:+-$VARIANT}"),
        ("unused", "compiler"),
        ("", "${BASE}"),
    ]
    assert found.stages[-1].ports == (8080, 9090)
    assert needed(WHOLE) == Needed(("alpine:3", "golang:1.24", "tools:2"), "alpine:3")
    assert needed(WHOLE, GO="1.25", VARIANT="slim").images[1] == "golang:1.25-slim"


def test_a_stage_by_name_or_number() -> None:
    found = read(WHOLE)
    assert stages.target(found, "Unused") == found.stages[1]
    assert stages.target(found, "0") == found.stages[0]
    assert stages.target(found, "3") is None


@pytest.mark.parametrize(
    ("text", "images", "base"),
    [
        ("FROM scratch\nCOPY a /", (), "scratch"),
        ("FROM one AS one\nFROM one\nFROM 1", ("one",), "one"),
        ("FROM a-$TARGETARCH", ("a-arm64",), "a-arm64"),
        ("FROM assets", (), ""),
        ("FROM assets AS b\nFROM b", (), ""),
        ("from a as b\nfrom b\ncopy --from=B / /", ("a",), "a"),
        ("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n  y", ("a",), "a"),
        ("FROM a\nRUN echo $((1<<A))\nFROM b\nCOPY --from=0 / /", ("b", "a"), "b"),
        ("ARG A=${B:-c}\nFROM $A", ("c",), "c"),
        ("ARG D=`x`\nFROM a@sha256:" + "0" * 64, ("a@sha256:" + "0" * 64,), "a@sha256:" + "0" * 64),
    ],
)
def test_images(text: str, images: tuple[str, ...], base: str) -> None:
    assert needed(text) == Needed(images, base)


@pytest.mark.parametrize(
    ("text", "images"),
    [
        # what joins lines, and what does not
        ("FROM a\nLABEL x=a\\\\\nCOPY --from=b / /\n", ("a", "b")),
        ("FROM a\nRUN x \\ \t\nCOPY --from=b / /\n", ("a",)),
        ("FROM a\nRUN x \\\n# said \\\n\n  COPY --from=b / /\n", ("a",)),
        ("FROM py\\\nthon:3\n", ("python:3",)),
        ("FROM a\nLABEL x=y\x0c\\\u2028COPY --from=b\nCOPY --from=c / /\n", ("a", "c")),
        ("FROM a\r\nRUN x \\\r\n  y\r\nCOPY --from=b / /\r\n", ("a", "b")),
        # here-documents
        ('FROM a\nRUN echo "see <<USER for more"\nCOPY --from=b / /\nUSER\n', ("a", "b")),
        ("FROM a\nRUN echo '\" <<USER '\nCOPY --from=b / /\nUSER\n", ("a", "b")),
        ("FROM a\nRUN echo it's <<USER\nCOPY --from=b / /\nUSER\n", ("a", "b")),
        ("FROM a\nRUN echo x<<USER\nCOPY --from=b / /\nUSER\n", ("a", "b")),
        ("FROM a\nRUN cat <<EOF\nCOPY --from=b / /\n", ("a", "b")),
        ("FROM a\nRUN cat <<A <<B\nA\nCOPY --from=b / /\n", ("a", "b")),
        (
            "FROM a\nRUN cat 3<<-'A B' > x && echo ${Y:-<<N}\nCOPY --from=b / /\n\t\tA B\nCOPY --from=c / /\n",
            ("a", "c"),
        ),
        ('FROM a\nRUN <<E"O"F\nFROM b\nEOF\n', ("a",)),
        ("FROM a\nONBUILD RUN <<EOF\nFROM b\nEOF\n", ("a",)),
        # flags
        ("FROM a\nRUN --mount=type=bind,FROM=b,target=/b x\n", ("a", "b")),
        ('FROM a\nRUN --network=none --mount="type=bind,from=b" \\\n --mount=from=c,target=/c x\n', ("a", "b", "c")),
        ('FROM a\nRUN --mount=\'"from=b","target=/b,c"\' x\n', ("a", "b")),
        ("FROM a\nRUN echo --mount=type=bind,from=b\nCOPY x --from=c /\nRUN -- --mount=from=d\n", ("a",)),
        ("FROM\ta\nCOPY\t--from=b\t/ /\nRUN\t--mount=from=c,target=/c\tx\n", ("a", "b", "c")),
        # words
        ('ARG BASE="golang":1.24\nFROM $BASE\n', ("golang:1.24",)),
        (
            'ARG A=go\\lang B=\'$A\' C="${A}x"\nFROM $A\nFROM "$C":1\nCOPY --from=0 / /',
            ("golangx:1", "golang"),
        ),
        ("ARG A\nARG B=\nFROM ${A-a}${B-b}${B:-c}${A:+d}${B+e}${A:-${B:-f}}\n", ("cef",)),
    ],
)
def test_images_where_buildkit_takes_them(text: str, images: tuple[str, ...]) -> None:
    assert needed(text).images == images


def test_a_name_that_only_the_build_can_tell() -> None:
    assert needed("ARG A\nFROM $A").open == ("$A",)


def test_what_is_added_from_elsewhere() -> None:
    text = "FROM a AS x\nADD https://never.example/ /\nFROM b\nADD --checksum=sha256:0 https://h.example/a.tgz here /\n"
    text += 'ADD ["http://h.example/b", "/c"]\nADD git@h.example:d.git /\nCOPY http://no /\n'
    assert needed(text).fetched == ("https://h.example/a.tgz", "http://h.example/b", "git@h.example:d.git")


def test_all_faults_at_once() -> None:
    with pytest.raises(ProjectError) as caught:
        read("RUN x\nFORM y\nFROM a b\nFROM a AS b c\nFROM ok")
    for part in (
        "4 faults",
        "line 1: RUN before the first FROM",
        "line 2: unknown instruction FORM",
        "line 3: FROM takes an image",
        "line 4: FROM takes an image",
    ):
        assert part in caught.value.message
    for text in ("", "# nothing\n", "ARG A=b"):
        with pytest.raises(ProjectError, match="it has no FROM"):
            read(text)
    with pytest.raises(ProjectError, match="is not text"):
        dockerfile.parse(b"FROM \xff", "Dockerfile")


@pytest.mark.parametrize(
    ("text", "syntax", "escape"),
    [
        ("#!/bin/x\n# syntax=a/b:1\n", "a/b:1", "\\"),
        ("\ufeff#syntax = a/b:1  \r\n# Escape=`\n", "a/b:1", "`"),
        ("# syntax=a/b:1 --more\n", "a/b:1", "\\"),
        ("# check=skip=all\n# syntax=a\n", "a", "\\"),
        ("# other=x\n# syntax=a\n# escape=`\n", "", "\\"),
        (" # syntax=a\n # escape=`\n", "", "`"),
        ("\n# syntax=a\n", "", "\\"),
        ("#!/bin/x\n# escape=`\n", "", "\\"),
    ],
)
def test_directives(text: str, syntax: str, escape: str) -> None:
    found = read(f"{text}FROM a\n")
    assert (found.syntax, found.escape) == (syntax, escape)


def test_another_frontend_may_know_more() -> None:
    assert read("# syntax=example/labs:1\nFROM a\nDANCE").syntax == "example/labs:1"


@given(st.lists(st.sampled_from([*WHOLE.splitlines(), "FROM", "\\", "<<EOF", "RUN <<A <<B", "\ufeff"])))
def test_no_order_of_lines_breaks_it(lines: list[str]) -> None:
    try:
        found = read("\n".join(lines))
    except ProjectError:
        return
    for stage in found.stages:
        stages.needed(found, stage, "linux/amd64", {})


@given(
    st.sampled_from(["RUN", "COPY", "ARG", "FROM", "ONBUILD RUN"]), st.text("'\"\\`${}<-+:=,A \t\r\n\x0c", max_size=40)
)
def test_no_words_break_it(word: str, rest: str) -> None:
    try:
        found = read(f"ARG A{rest}\nFROM a\n{word} --mount={rest}\nFROM $A{rest}\nCOPY --from=b / /\n")
    except ProjectError:
        return
    for stage in found.stages:
        stages.needed(found, stage, "linux/amd64", {})


def untaken(text: str, *names: str, **more: str) -> list[str]:
    return list(rules.untaken(Docker(args={**dict.fromkeys(names, "x"), **more}), read(text)))


DECLARING = "ARG BASE=a\nFROM $BASE AS one\nARG GOFLAGS=-v \\\n  MODE\nONBUILD ARG LATER\nFROM scratch\narg SMALL=1\n"


def test_arguments_that_no_arg_takes() -> None:
    assert untaken(DECLARING, "BASE", "GOFLAGS", "MODE", "LATER", "SMALL") == []
    assert untaken(DECLARING, "GOFLAG", "small", "UNLIKE") == [
        "docker.args.GOFLAG: no ARG of Dockerfile takes it, did you mean 'GOFLAGS'?",
        "docker.args.small: no ARG of Dockerfile takes it",
        "docker.args.UNLIKE: no ARG of Dockerfile takes it",
    ]
    assert untaken("FROM a\nENV V=1\nRUN <<E\nARG V\nE\n", "V")
    assert untaken("FROM a\nARG A='B C' D=\"E F=\" \\\n\tG\nONBUILD\tARG H\n", "A", "D", "G", "H") == []
    assert untaken("FROM a\nARG A='B C' D=\"E F=\"\x0cI\nRUN x\u2028ARG J\n", "I", "J", "F", "C")[0].startswith(
        "docker.args.J:"
    )
    assert untaken("FROM a\n", "HTTP_PROXI") == [
        "docker.args.HTTP_PROXI: no ARG of Dockerfile takes it, did you mean 'HTTP_PROXY'?"
    ]


def test_arguments_that_need_no_arg() -> None:
    proxies = ("HTTP_PROXY", "https_proxy", "no_proxy", "ALL_PROXY")
    platforms = ("TARGETPLATFORM", "BUILDARCH", "TARGETSTAGE")
    own = ("SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE", "BUILDKIT_SANDBOX_HOSTNAME")
    assert untaken("FROM a\n", *proxies, *platforms, *own) == []


def test_what_another_frontend_takes_is_its_own_affair() -> None:
    for own in ("docker/dockerfile:1", "docker.io/docker/dockerfile:1.7", "docker/dockerfile-upstream:master"):
        assert untaken(f"# syntax={own}\nFROM a\n", "V")
        assert untaken("FROM a\n", "V", BUILDKIT_SYNTAX=own)
    assert untaken("# syntax=other/frontend:1\nFROM a\n", "V") == []
    assert untaken("FROM a\n", "V", BUILDKIT_SYNTAX="other/frontend:1") == []
