"""A small container registry that follows the OCI distribution-spec, except where a test tells it to misbehave.

Real registries can't be made to answer 500 twice, to drop a connection in mid-blob or to send wrong bytes; this can.
It keeps everything in memory and writes down each request. The real docker-registry is tested beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from tests import loopback

SECRET_STATE = "state-of-the-upload"  # what real servers put into an upload's URL


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Fault:
    """Misbehave to requests of a method whose path holds `part`, `times` times."""

    method: str
    part: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop_after: int = -1  # bytes of the answer, then the connection is closed
    drop_upload: bool = False  # close the connection when half of the request's body has come
    replace: bytes | None = None  # other bytes than asked for, under the promised digest


@dataclass
class Odd:
    """The registry's content, its habits, and what it was asked."""

    address: str = ""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    user: str = ""  # Basic login, where `realm` is empty
    password: str = ""
    realm: str = ""  # where tokens are to be had; the server has /token itself
    tokens: dict[str, set[str]] = field(default_factory=dict)  # token -> scopes
    grants: Callable[[str, list[str]], str | None] | None = None  # (Authorization, scopes) -> token
    refresh: dict[str, str] = field(default_factory=dict)  # identity token -> access token
    mounts: bool = True
    ranges: bool = True
    absolute: bool = True
    digest_header: bool = True
    storage: str = ""  # another server that blobs are redirected to
    delay: float = 0.0  # seconds before each answer
    chunks: bool = True  # PATCH is known
    least: int = 0  # OCI-Chunk-Min-Length
    takes: int = -1  # bytes of the next chunk that are kept, then all of it
    claims: int = -1  # bytes that are said to be there
    progress: bool = True  # GET on an upload tells how far it is
    referrers: bool = False  # the API of distribution-spec 1.1
    filters: bool = True  # of that API, by artifactType
    page: int = 0  # referrers on a page
    etags: bool = False  # and If-Match, If-None-Match
    before_put: Callable[[str], None] = lambda _: None  # called before a manifest is put under a name
    uploads: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def authority(self) -> str:
        return self.address.partition("://")[2]

    def put(self, repository: str, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[repository, digest] = data
        return digest

    def put_manifest(self, repository: str, name: str, data: bytes, media_type: str) -> str:
        digest = digest_of(data)
        self.manifests[repository, name] = self.manifests[repository, digest] = (data, media_type)
        return digest

    def count(self, method: str, part: str) -> int:
        return len([each for each in self.asked if each.method == method and part in each.path])


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextmanager
def serving(**habits: object) -> Iterator[Odd]:
    """The registry on a free loopback port."""
    odd = Odd(**habits)  # type: ignore[arg-type]
    with loopback.serving(_Handler, registry=odd) as odd.address:
        odd.realm = odd.realm.replace("SELF", odd.address)
        yield odd


class _Handler(loopback.Quiet):
    registry: Odd
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault: Fault | None = None

    def do_GET(self) -> None:
        self.handle_any()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        asked = Asked(self.command, parts.path, parse_qs(parts.query), {k.lower(): v for k, v in self.headers.items()})
        with self.registry.lock:
            self.registry.asked.append(asked)
            self.fault = self._fault(asked)
        if self.fault and self.fault.drop_upload:
            half = self.rfile.read(int(asked.headers.get("content-length", 0)) // 2)
            session = parts.path.rpartition("/")[2]
            if session in self.registry.uploads:
                self.registry.uploads[session] += half
            self.close_connection = True
            self.connection.close()
            return
        asked.body = self.rfile.read(int(asked.headers.get("content-length", 0)))
        if self.fault and self.fault.status:
            self.answer(self.fault.status, self.fault.body, self.fault.headers)
        elif parts.path == "/token":
            self.token(asked)
        elif not self.allowed(asked):
            self.challenge()
        else:
            self.route(asked)

    def _fault(self, asked: Asked) -> Fault | None:
        for each in self.registry.faults:
            if each.times and each.method == asked.method and each.part in asked.path:
                each.times -= 1
                return each
        return None

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        time.sleep(self.registry.delay)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        drop = self.fault.drop_after if self.fault else -1
        self.wfile.write(body if drop < 0 else body[:drop])
        if drop >= 0:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def error(self, status: int, code: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def allowed(self, asked: Asked) -> bool:
        told = asked.headers.get("authorization", "")
        if self.registry.realm:
            return told.removeprefix("Bearer ") in self.registry.tokens
        if self.registry.user:
            login = f"{self.registry.user}:{self.registry.password}"
            return told == "Basic " + base64.b64encode(login.encode()).decode()
        return True

    def challenge(self) -> None:
        body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}).encode()
        wanted = f'Bearer realm="{self.registry.realm}",service="odd, \\"quoted\\"",scope="registry:catalog:*"'
        self.answer(401, body, {"WWW-Authenticate": wanted if self.registry.realm else 'Basic realm="odd"'})

    def token(self, asked: Asked) -> None:
        scopes = asked.query.get("scope", [])
        if self.command == "POST":
            form = parse_qs(asked.body.decode())
            scopes = form["scope"][0].split(" ")
            token = self.registry.refresh.get(form["refresh_token"][0])
        else:
            told = asked.headers.get("authorization", "")
            token = self.registry.grants(told, scopes) if self.registry.grants else "anonymous"
        if token is None:
            self.error(401, "UNAUTHORIZED")
            return
        self.registry.tokens[token] = set(scopes)
        self.answer(200, json.dumps({"access_token": token, "expires_in": 60}).encode())

    def route(self, asked: Asked) -> None:
        head, _, rest = asked.path.removeprefix("/v2/").rpartition("/")
        repository, _, kind = head.rpartition("/")
        if kind == "manifests":
            self.manifest(asked, repository, rest)
        elif kind == "blobs" and rest and not head.endswith("uploads"):
            self.blob(asked, repository, rest)
        elif kind == "referrers":
            self.listed(asked, repository, rest)
        elif "/blobs/uploads" in asked.path:
            self.upload(asked, asked.path.removeprefix("/v2/").partition("/blobs/uploads")[0], rest)
        else:
            self.error(404, "NAME_UNKNOWN")

    def manifest(self, asked: Asked, repository: str, name: str) -> None:
        if asked.method == "PUT":
            self.put(asked, repository, name)
            return
        found = self.registry.manifests.get((repository, name))
        if found is None:
            self.error(404, "MANIFEST_UNKNOWN")
            return
        headers = {"Content-Type": found[1]}
        if self.registry.digest_header:
            headers["Docker-Content-Digest"] = digest_of(found[0])
        if self.registry.etags:
            headers["ETag"] = f'"{digest_of(found[0])}"'
        replaced = self.fault.replace if self.fault else None
        self.answer(200, found[0] if replaced is None else replaced, headers)

    def put(self, asked: Asked, repository: str, name: str) -> None:
        self.registry.before_put(name)
        there = self.registry.manifests.get((repository, name))
        matches = asked.headers.get("if-match", "") in ("", f'"{digest_of(there[0])}"' if there else "nothing")
        if self.registry.etags and (not matches or (there and "if-none-match" in asked.headers)):
            self.error(412, "PRECONDITION")
            return
        kind = asked.headers["content-type"]
        self.registry.manifests[repository, name] = (asked.body, kind)
        self.registry.manifests[repository, digest_of(asked.body)] = (asked.body, kind)
        headers = {"Location": asked.path, "Warning": '299 - "this is only a test"'}
        subject = json.loads(asked.body).get("subject", {}).get("digest")
        if self.registry.referrers and subject:
            headers["OCI-Subject"] = subject
        self.answer(201, b"", headers)

    def blob(self, asked: Asked, repository: str, digest: str) -> None:
        found = self.registry.blobs.get((repository, digest))
        if found is None:
            self.error(404, "BLOB_UNKNOWN")
            return
        if self.registry.storage and asked.method == "GET":
            query = urlencode({"signature": SECRET_STATE})
            self.answer(307, b"", {"Location": f"{self.registry.storage}{asked.path}?{query}"})
            return
        if self.fault and self.fault.replace is not None:
            found = self.fault.replace
        asked_range = asked.headers.get("range", "")
        if asked_range and self.registry.ranges:
            start = int(asked_range.removeprefix("bytes=").rstrip("-"))
            self.answer(206, found[start:], {"Content-Range": f"bytes {start}-{len(found) - 1}/{len(found)}"})
        else:
            self.answer(200, found)

    def upload(self, asked: Asked, repository: str, session: str) -> None:
        if asked.method == "POST":
            self.begin(asked, repository)
        elif session not in self.registry.uploads or not asked.query.get("_state", [""])[0].startswith(SECRET_STATE):
            self.error(404, "BLOB_UPLOAD_UNKNOWN")
        elif asked.method == "PATCH":
            self.chunk(asked, repository, session)
        elif asked.method == "DELETE":
            del self.registry.uploads[session]
            self.answer(204)
        elif asked.method == "GET":
            if self.registry.progress:
                self.answer(204, b"", self.place(repository, session))
            else:
                self.error(405, "UNSUPPORTED")
        elif asked.query.get("digest") != [digest_of(self.registry.uploads[session] + asked.body)]:
            self.error(400, "DIGEST_INVALID")
        else:
            self.registry.put(repository, self.registry.uploads.pop(session) + asked.body)
            self.answer(201)

    def begin(self, asked: Asked, repository: str) -> None:
        source = asked.query.get("from", [""])[0]
        digest = asked.query.get("mount", [""])[0]
        if self.registry.mounts and (source, digest) in self.registry.blobs:
            self.registry.blobs[repository, digest] = self.registry.blobs[source, digest]
            self.answer(201, b"", {"Location": f"/v2/{repository}/blobs/{digest}"})
            return
        with self.registry.lock:
            new = f"session-{len(self.registry.asked)}"
            self.registry.uploads[new] = b""
        least = {"OCI-Chunk-Min-Length": str(self.registry.least)} if self.registry.least else {}
        self.answer(202, b"", self.place(repository, new) | least)

    def place(self, repository: str, session: str) -> dict[str, str]:
        """Where an upload goes on: another URL after each step, as real servers have it."""
        have = len(self.registry.uploads[session])
        have = self.registry.claims if self.registry.claims >= 0 and have else have
        place = f"/v2/{repository}/blobs/uploads/{session}?_state={SECRET_STATE}-{have}"
        told = {"Location": (self.registry.address if self.registry.absolute else "") + place}
        return told | ({"Range": f"0-{have - 1}"} if have else {})

    def chunk(self, asked: Asked, repository: str, session: str) -> None:
        have = self.registry.uploads[session]
        if not self.registry.chunks:
            self.error(405, "UNSUPPORTED")
        elif not asked.headers.get("content-range", "").startswith(f"{len(have)}-"):
            self.error(416, "BLOB_UPLOAD_INVALID")
        else:
            kept = len(asked.body) if self.registry.takes < 0 else self.registry.takes
            self.registry.takes = -1
            self.registry.uploads[session] += asked.body[:kept]
            self.answer(202, b"", self.place(repository, session))

    def listed(self, asked: Asked, repository: str, subject: str) -> None:
        """The referrers API, a page at a time."""
        if not self.registry.referrers:
            self.error(404, "UNSUPPORTED")
            return
        wanted = asked.query.get("artifactType", [""])[0] if self.registry.filters else ""
        found = []
        for (where, name), (data, kind) in sorted(self.registry.manifests.items()):
            told = json.loads(data)
            if (
                where != repository
                or not name.startswith("sha256:")
                or told.get("subject", {}).get("digest") != subject
            ):
                continue
            entry = {"mediaType": kind, "digest": name, "size": len(data), "artifactType": told.get("artifactType", "")}
            entry |= {"annotations": told["annotations"]} if "annotations" in told else {}
            if wanted in ("", entry["artifactType"]):
                found.append(entry)
        headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        headers |= {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        start, page = int(asked.query.get("start", ["0"])[0]), self.registry.page or len(found)
        if start + page < len(found):
            headers["Link"] = f'<{asked.path}?start={start + page}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": headers["Content-Type"], "manifests": found[start : start + page]}
        self.answer(200, json.dumps(index).encode(), headers)
