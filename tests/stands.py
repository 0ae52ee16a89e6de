"""Small real services for smoke tests: a bundle, sealed and opened, of one file on the Python base."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cdaf import ASSEMBLER_REVISION
from cdaf.bundles import bundle
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest, Service, Sidecar, Smoke, Source, Tools
from cdaf.images import image, plan
from cdaf.images.content import Content
from cdaf.images.oci import Image
from cdaf.registries import reference, registry
from cdaf.settings import settings

PYTHON = "python:3.13-slim"
TIME = "2026-01-02T03:04:05Z"

SERVER = """
    import http.server, os, sys, time
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    where = sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0"
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ok = self.path in ("/healthz", "/env", "/count")
            text = "ok"
            if self.path == "/env":
                text = repr(dict(os.environ))
            if self.path == "/count":
                with open("/tmp/count", "a+") as file:
                    file.write("x")
                    file.seek(0)
                    text = str(len(file.read()))
            if self.path == "/die":
                print("asked to die", flush=True)
                os._exit(3)
            self.send_response(200 if ok else 503)
            self.end_headers()
            self.wfile.write(text.encode())
    print("serving on", port, flush=True)
    http.server.ThreadingHTTPServer((where, port), Handler).serve_forever()
"""


def pinned(name: str, platform: str = "linux/amd64") -> plan.BasePin:
    """A base by the digest that the registry serves now."""
    return plan.BasePin(name, registry.resolve(reference.parse(name), platform).digest)


def index_digest(name: str) -> str:
    """The digest that `cdaf lock` would pin a sidecar by."""
    return registry.manifest(reference.parse(name))[1].digest


def made(
    folder: Path,
    *,
    start: Sequence[str] = ("python", "/app/server.py"),
    server: str = SERVER,
    checks: str = "",
    files: Mapping[str, str] = {},
    platforms: Sequence[str] = ("linux/amd64",),
    port: int | None = 8000,
    image_health: plan.Health | None = None,
    **smoke: Any,
) -> Bundle:
    """A bundle whose service is `server`; `checks` is a script that its checks container runs with Python."""
    sidecars = smoke.get("sidecars", ())
    compose = smoke.pop("compose", {})
    pins = tuple(Sidecar(reference=each, digest=index_digest(each)) for each in (*sidecars, *smoke.pop("images", ())))
    if checks:
        smoke.setdefault("checks", ("python", "/app/check.py"))
    declared = settings.Smoke(**{"health": "/healthz" if port else None, "timeout": 30, **smoke})
    content: dict[str, bytes] = {"app/server.py": textwrap.dedent(server).encode()}
    content["smoke/check.py"] = textwrap.dedent(checks).encode()
    content |= {name: text.encode() for name, text in files.items()}
    content |= {f"smoke/compose/{name}": textwrap.dedent(text).encode() for name, text in compose.items()}
    sealed = bundle.seal(
        folder,
        Manifest(
            format=1,
            service=Service(name="tiny", version="1.2.3", language="python", start=tuple(start), port=port),
            source=Source(time=TIME, release=True),
            smoke=Smoke(declared=declared, sidecars=pins, compose=tuple(f"smoke/compose/{name}" for name in compose)),
            tools=Tools(cdaf="0", assembler=ASSEMBLER_REVISION),
        ),
        plan.Plans(
            1, tuple(_image(each, start, port, image_health) for each in platforms), tuple(map(_checks, platforms))
        ),
        content,
    )
    return bundle.open(sealed.path)


def _image(platform: str, start: Sequence[str], port: int | None, health: plan.Health | None) -> plan.ImagePlan:
    layer = plan.Layer("service", (plan.Place("app/server.py", "/app/server.py"),))
    config = plan.Config(tuple(start), {"PYTHONUNBUFFERED": "1"}, "10001:10001", "/app", port, {}, (), health)
    return plan.ImagePlan(platform, pinned(PYTHON, platform), (layer,), config, TIME)


def _checks(platform: str) -> plan.SmokePlan:
    layer = plan.Layer("checks", (plan.Place("smoke/check.py", "/app/check.py"),))
    return plan.SmokePlan(platform, (layer,), {}, "/app")


def images(of: Bundle) -> tuple[Image, ...]:
    """The bundle's images, assembled."""
    contents = {name: Content(each.sha256, each.size, of.path, each.offset) for name, each in of.members.items()}
    return tuple(image.assemble(each, contents) for each in of.plans.images)
