"""Every sidecar fragment: by compose's own reading, and where its image can be had here, spoken to by a service."""

import json
import textwrap
from pathlib import Path

import pytest

from cdaf import engine
from cdaf.errors import CdafError
from cdaf.settings import settings
from cdaf.testing import compose_file, smoke, stack
from tests import stands
from tests.test_stack import assembled

pytestmark = pytest.mark.docker

# What a service would do first with what it is handed, by the standard library alone.
HELPERS = """
import os, socket, urllib.parse, urllib.request
def dial(url):
    parts = urllib.parse.urlsplit(os.environ[url])
    return socket.create_connection((parts.hostname, parts.port), timeout=20)
def page(url):
    return urllib.request.urlopen(url, timeout=20).read()
"""
SPOKEN = {
    "postgres:17": """
        s = dial("DATABASE_URL")
        s.sendall(bytes.fromhex("0000000804d2162f"))  # SSLRequest
        assert s.recv(1) in b"NS"
    """,
    "redis:7": """
        s = dial("REDIS_URL")
        s.sendall(b"SET a 1\\r\\nGET a\\r\\n")
        said = b""
        while said.count(b"\\n") < 3:
            said += s.recv(99)
        assert said == b"+OK\\r\\n$1\\r\\n1\\r\\n", said
    """,
    "rabbitmq:4": """
        s = dial("AMQP_URL")
        s.sendall(b"AMQP\\x00\\x00\\x09\\x01")
        assert s.recv(11)[7:] == bytes([0, 10, 0, 10])  # Connection.Start
    """,
    "mariadb:11": """
        assert b"MariaDB" in dial("MARIADB_URL").recv(200)
    """,
    "nats:2": """
        assert b'"jetstream":true' in dial("NATS_URL").recv(4096).replace(b" ", b"")
    """,
    "nginx:1": """
        assert b"<html" in page(os.environ["NGINX_URL"]).lower()
    """,
    "axllent/mailpit:v1.20": """
        import json, smtplib
        with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), timeout=20) as smtp:
            smtp.sendmail("a@example.invalid", ["b@example.invalid"], "Subject: your order\\r\\n\\r\\nThank you.")
        found = json.loads(page(os.environ["MAILPIT_URL"] + "/api/v1/messages"))
        assert [each["Subject"] for each in found["messages"]] == ["your order"]
    """,
}


@pytest.mark.parametrize("name", sorted(stack.fragments()))
def test_compose_reads_every_fragment(name: str) -> None:
    made = assembled(settings.Smoke(sidecars=(f"{name}:1",), checks=("pytest",)))
    with engine.project("cdaf-test-config", made.files) as project:
        told = engine.config(project)
    assert set(told["services"]) == {"service", "checks", name}
    mine = told["services"][name]
    assert mine["image"] == f"id of {name}:1"
    assert mine["labels"]["io.cdaf.run"] == "r1"
    check = mine.get("healthcheck")
    assert (check and check["test"]) or mine["ports"][0]["host_ip"] == "127.0.0.1"
    handed = told["services"]["service"]["environment"]
    assert handed.items() >= stack.fragments()[name].environment.items()
    (service,) = compose_file.services(stack.fragments()[name].document).values()
    wanted = service.get("environment", {})
    assert mine.get("environment", {}) == wanted, "compose reads another value than is written"


@pytest.mark.parametrize("reference", SPOKEN)
def test_a_service_can_speak_to_its_sidecar(tmp_path: Path, reference: str) -> None:
    check = HELPERS + textwrap.dedent(SPOKEN[reference])
    bundle = stands.made(tmp_path, sidecars=(reference,), checks=check, timeout=240)
    try:
        (result,) = smoke.test(bundle, stands.images(bundle)).platforms
    except CdafError as error:
        report = json.loads((tmp_path / "tiny-1.2.3.smoke" / "report.json").read_text())
        pytest.fail(f"{error.message}\n{error.output}\n{report['platforms'][0]['steps']}")
    assert result.state == "passed"
    (moments,) = [lane.moments for lane in result.lanes if lane.role == "sidecar"]
    assert {each.kind for each in moments} & {"healthy", "answer"}
