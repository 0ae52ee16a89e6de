"""What may stand beside a service: fragments, compose files and their faults, and the project made of them."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.bundles.manifest import Manifest, Service, Sidecar, Smoke, Source, Tools
from cdaf.errors import BundleError, ProjectError
from cdaf.settings import settings
from cdaf.testing import compose_file, order, stack
from cdaf.testing.stack import Binding


def written(folder: Path, *texts: str) -> list[Path]:
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yaml"
        path.write_text(textwrap.dedent(text))
        paths.append(path)
    return paths


def sealed(smoke: settings.Smoke, *references: str, port: int | None = 8000) -> Manifest:
    """A bundle's manifest with these images pinned."""
    return Manifest(
        format=1,
        service=Service(name="tiny", version="1", language="python", start=("x",), port=port),
        source=Source(time="2026-01-01T00:00:00Z"),
        smoke=Smoke(declared=smoke, sidecars=tuple(Sidecar(reference=each, digest="d") for each in references)),
        tools=Tools(cdaf="0", assembler=1),
    )


def assembled(
    smoke: settings.Smoke, composed: Mapping[str, str] = {}, port: int | None = 8000, logging: str = ""
) -> stack.Stack:
    references = [*smoke.sidecars, *(["python:3.13-slim"] if composed else [])]
    manifest = sealed(smoke, *references, port=port)
    bound = Binding(
        run="r1",
        labels={"io.cdaf.run": "r1"},
        service="sha256:1",
        checks="sha256:2" if smoke.checks else "",
        images={each: f"id of {each}" for each in references},
        publish="127.0.0.1",
        logging=logging,
    )
    return stack.assemble(manifest, {name: text.encode() for name, text in composed.items()}, bound)


def merged(made: stack.Stack) -> dict[str, dict[str, object]]:
    """cdaf's own files as compose would merge them, services only."""
    first, last = (json.loads(made.files[name])["services"] for name in ("00-cdaf.json", "99-cdaf.json"))
    return {name: {**first.get(name, {}), **table} for name, table in last.items()}


def test_every_fragment_has_a_health_check_and_hands_something_over() -> None:
    names = {"postgres", "redis", "rabbitmq", "mariadb", "nats", "kafka", "minio", "nginx", "mailpit"}
    assert set(stack.fragments()) == names
    for name, each in stack.fragments().items():
        (service,) = compose_file.services(each.document).items()
        assert service[0] == name
        assert "healthcheck" in service[1] or name in assembled(settings.Smoke(sidecars=(name,))).probes
        assert each.environment
        assert all(isinstance(value, str) for value in each.environment.values())
        assert not compose_file.faults(each.document, frozenset(), frozenset({name}))
        assert stack.check(settings.Smoke(sidecars=(f"{name}:1",)), []) == []


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("postgres:17", "postgres"),
        ("registry.example:5000/team/postgres:17@sha256:" + "0" * 64, "postgres"),
        ("postgis/postgis:17-3.5", "postgres"),
        ("valkey/valkey", "redis"),
        ("axllent/mailpit:v1", "mailpit"),
    ],
)
def test_a_fragment_is_found_by_the_last_part_of_the_name(reference: str, name: str) -> None:
    found = stack.fragment(reference)
    assert found is not None
    assert found.name == name


def test_sidecars_that_cannot_stand() -> None:
    found = stack.check(settings.Smoke(sidecars=("oracle:23", "postgres:16", "postgis/postgis:17")), [])
    assert found[0].startswith("smoke.sidecars: 'oracle:23' is not one that cdaf knows (kafka, mailpit, ")
    assert found[1] == "smoke.sidecars: postgres stands there twice"


FAULTS = {
    "services: {a: {build: .}}": ["services.a: names no image", "services.a.build: "],
    "services: {a: {image: x, env_file: .env}}": ["services.a.env_file: "],
    "services: {a: {image: x, volumes: ['./data:/data']}}": ["services.a.volumes: './data' is a host path"],
    "services: {a: {image: x, volumes: ['/var/run/docker.sock:/s:ro']}}": [
        "services.a.volumes: '/var/run/docker.sock'"
    ],
    "services: {a: {image: x, volumes: [{type: bind, source: /etc, target: /e}]}}": ["services.a.volumes: '/etc'"],
    "services: {a: {image: x, privileged: true}}": ["services.a.privileged: "],
    "services: {a: {image: x, network_mode: host, pid: host}}": ["services.a.network_mode: ", "services.a.pid: "],
    "services: {a: {image: x, ports: ['5432:5432']}}": ["services.a.ports: '5432:5432' takes a port of the host"],
    "services: {a: {image: x, ports: [{target: 80, published: 80}]}}": ["services.a.ports: "],
    "services: {a: {image: x, container_name: y}}": ["services.a.container_name: "],
    "services: {a: {image: x, cap_add: [IPC_LOCK, SYS_ADMIN, ALL]}}": [
        "services.a.cap_add: SYS_ADMIN: ",
        "services.a.cap_add: ALL: ",
    ],
    "services: {a: {image: x, security_opt: ['no-new-privileges:true', 'apparmor=unconfined']}}": [
        "services.a.security_opt: apparmor=unconfined: "
    ],
    "services: {a: {image: x, network_mode: 'container:other', ipc: 'container:other'}}": [
        "services.a.network_mode: the test must not share the host's, nor another",
        "services.a.ipc: ",
    ],
    "services: {service: {post_start: [{command: x, privileged: true}]}}": ["services.service.post_start: privileged"],
    "services: {a: {image: x, gpus: all, runtime: y, cgroup_parent: /, device_cgroup_rules: ['a *:* rwm']}}": [
        "services.a.device_cgroup_rules: ",
        "services.a.gpus: ",
        "services.a.runtime: ",
        "services.a.cgroup_parent: ",
    ],
    "services: {a: {image: x, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}}": [
        "services.a.deploy: devices: "
    ],
    "services: {a: {image: x, logging: {driver: syslog}, external_links: [other]}}": [
        "services.a.logging: ",
        "services.a.external_links: ",
    ],
    "services: {a: {image: x, labels: {io.cdaf.keep: 'true', mine: x}}}": [
        "services.a.labels: io.cdaf.keep: cdaf sets"
    ],
    "services: {a: {image: x, labels: [com.docker.compose.project=other]}}": [
        "services.a.labels: com.docker.compose.project: "
    ],
    "services: {a: {image: x, volumes: [{type: '${T}', source: /etc, target: /e}]}}": [
        "services.a.volumes: '/etc'",
        "${T} is not in",
    ],
    "services: {a: {image: x}}\nnetworks: {n: {driver: macvlan, labels: [io.cdaf.run=x]}}": [
        "networks.n.driver: the test must run on any host, with driver bridge",
        "networks.n.labels: io.cdaf.run: ",
    ],
    "services: {a: {image: x}}\nvolumes: {v: {driver: nfs}}": ["volumes.v.driver: "],
    "services: {a: {image: x, x-cdaf: {health: {port: 80, path: /\u00fc}}}}": ["services.a.x-cdaf: it takes"],
    "x-a: " + "[" * 20_000 + "]" * 20_000: ["it is nested too deeply"],
    "x-a: " + "[" * 4000 + "]" * 4000 + "\nservices: {a: {image: $B}}": ["services.a.image: ", "${B} is"],
    "x-a: &a [*a]\nservices: {a: {image: x, command: [*a, $B]}}": ["${B} is not in"],
    "x-0: &x0 [$B]\n" + "".join(f"x-{n}: &x{n} [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 64)): ["${B} is not in"],
    "services: {a: {image: 'x:${TAG}'}}": ["services.a.image: a variable cannot be pinned", "${TAG} is not in"],
    "services: {a: {image: x, command: [echo, $HOME]}}": ["${HOME} is not in smoke.secrets; write $$"],
    "services: {a: {image: x, environment: [TOKEN]}}": ["services.a.environment: TOKEN has no value"],
    "services: {a: {image: x, environment: {TOKEN: }}}": ["services.a.environment: TOKEN has no value"],
    "services: {service: {image: x, command: y}}": [
        "services.service.image: cdaf sets it",
        "services.service.command: ",
    ],
    "services: {checks: {image: x}}": ["services.checks.image: cdaf sets it"],
    "services: {a: {image: x, provider: {type: y}}}": ["services.a.provider: it runs a program"],
    "services: {a: {image: x}}\nvolumes: {v: {external: true}}": ["volumes.v.external: "],
    "services: {a: {image: x}}\nvolumes: {v: {name: prod-data}}": ["volumes.v.name: "],
    "services: {a: {image: x}}\nvolumes: {v: {driver_opts: {device: /d, o: bind}}}": ["volumes.v.driver_opts: "],
    "services: {a: {image: x}}\nnetworks: {n: {external: true}}": ["networks.n.external: "],
    "services: {a: {image: x}}\nconfigs: {c: {file: ./c}}": ["configs.c.file: "],
    "services: {a: {image: x}}\nsecrets: {s: {environment: TOKEN}}": ["secrets.s.environment: TOKEN is not in"],
    "services: {a: {image: x}}\ninclude: [other.yaml]": ["include: a bundle holds whole files"],
    "services: {a: {image: x, x-cdaf: {health: /}}}": ["services.a.x-cdaf: it takes `health: "],
    "services: [a]": ["it is not a compose file"],
    "services: {a: {image: x": ["while parsing"],
}


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_what_a_sealed_test_cannot_give(tmp_path: Path, text: str) -> None:
    found = stack.check(settings.Smoke(), written(tmp_path, text))
    assert len(found) == len(FAULTS[text]), found
    for fault, wanted in zip(found, FAULTS[text], strict=True):
        assert fault.startswith("0.yaml: " + wanted), fault


def test_what_a_sealed_test_can_give(tmp_path: Path) -> None:
    text = """
        services:
          a:
            image: registry.example/a:1
            command: ["echo", "5$$", "${TOKEN}"]
            environment: [TOKEN, PLAIN=x]
            volumes: ["data:/data", "/anonymous"]
            ports: ["80", "127.0.0.1::81/tcp"]
            x-cdaf: {health: {port: 80, path: /ready}}
          service: {environment: {A_URL: "http://a"}, depends_on: !reset []}
          postgres: {shm_size: 128m}
        volumes: {data: {}}
        configs: {c: {content: "x"}}
    """
    smoke = settings.Smoke(sidecars=("postgres:17",), secrets=("TOKEN",))
    assert stack.check(smoke, written(tmp_path, text)) == []


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_a_bundle_cannot_ask_for_more_than_a_project(text: str) -> None:
    with pytest.raises(BundleError, match="what stands beside the service"):
        stack.demand(sealed(settings.Smoke()), {"smoke/compose/00.yaml": text.encode()})


def test_a_bundle_pins_every_image_beside_its_service() -> None:
    extra = {"smoke/compose/00.yaml": b"services: {a: {image: 'x:1'}}"}
    stack.demand(sealed(settings.Smoke(sidecars=("redis:7",)), "redis:7", "x:1"), extra)
    with pytest.raises(BundleError, match=r"2 faults\n  - redis:7: no pin\n  - x:1: no pin"):
        stack.demand(sealed(settings.Smoke(sidecars=("redis:7",))), extra)


def test_images_in_their_order_each_once(tmp_path: Path) -> None:
    files = written(tmp_path, "services: {a: {image: 'x:1'}, b: {image: 'y:2'}}", "services: {c: {image: 'x:1'}}")
    assert stack.images(files) == ["x:1", "y:2"]
    with pytest.raises(ProjectError, match=r"0\.yaml: "):
        stack.images(written(tmp_path, "services: ["))


def test_everything_is_labelled_pinned_and_never_pulled() -> None:
    extra = "services: {a: {image: 'python:3.13-slim'}}\nnetworks: {n: {}}\nvolumes: {v: {}}"
    made = assembled(settings.Smoke(sidecars=("redis:7",), checks=("pytest",)), {"00-extra.yaml": extra})
    services = merged(made)
    assert {name: each["image"] for name, each in services.items()} == {
        "service": "sha256:1",
        "checks": "sha256:2",
        "redis": "id of redis:7",
        "a": "id of python:3.13-slim",
    }
    last = json.loads(made.files["99-cdaf.json"])
    tables = [*services.values(), *last["networks"].values(), *last["volumes"].values()]
    assert all(each["labels"] == {"io.cdaf.run": "r1"} for each in tables)
    assert all(each["pull_policy"] == "never" for each in services.values())
    assert set(last["networks"]) == {"default", "n"}
    assert list(made.files) == ["00-cdaf.json", "01-00-extra.yaml", "99-cdaf.json"]


def test_the_first_sidecar_hands_over_its_url_and_the_user_has_the_last_word() -> None:
    smoke = settings.Smoke(sidecars=("mariadb:11", "postgres:17"), env={"PGHOST": "elsewhere"}, secrets=("TOKEN",))
    told = merged(assembled(smoke))["service"]["environment"]
    assert isinstance(told, dict)
    assert told["DATABASE_URL"] == "mysql://app:app@mariadb:3306/app"
    assert told["POSTGRES_URL"] == "postgresql://app:app@postgres:5432/app"
    assert told["PGHOST"] == "elsewhere"
    assert told["TOKEN"] is None, "a secret's value stands in a file"


@pytest.mark.parametrize(
    ("command", "is_pytest"),
    [
        (("pytest", "-q"), True),
        (("/app/.venv/bin/pytest",), True),
        (("python3", "-m", "pytest"), True),
        (("python", "pytest.py"), False),
        (("npm", "test"), False),
    ],
)
def test_pytest_is_asked_for_a_report(command: tuple[str, ...], is_pytest: bool) -> None:
    told = merged(assembled(settings.Smoke(checks=command)))["checks"]["environment"]
    assert isinstance(told, dict)
    assert told["CDAF_SMOKE_URL"] == "http://service:8000"
    assert ("PYTEST_ADDOPTS" in told) == is_pytest


@given(st.text())
def test_no_value_is_ever_a_variable(value: str) -> None:
    told = merged(assembled(settings.Smoke(env={"X": value})))["service"]["environment"]
    assert isinstance(told, dict)
    assert told["X"].replace("$$", "") == value.replace("$", "")
    assert told["X"].replace("$$", "$") == value


def test_order_of_starting() -> None:
    waits: dict[str, list[str]] = {
        "a": [],
        "b": ["a"],
        "service": ["b"],
        "front": ["service"],
        "tail": ["front", "a"],
        "checks": [],
    }
    config: dict[str, object] = {
        "services": {name: {"depends_on": {each: {} for each in on}} for name, on in waits.items()}
    }
    assert order.levels(config) == ([["a"], ["b"]], [["front"], ["tail"]])


def test_a_log_without_bounds_gets_some() -> None:
    smoke = settings.Smoke(sidecars=("postgres:17",), checks=("x",))
    other = {"own.yaml": "services: {other: {image: 'python:3.13-slim'}}"}
    kept = [each.get("logging") for each in merged(assembled(smoke, other, logging="json-file")).values()]
    assert kept == [{"driver": "json-file", "options": {"max-size": "16m", "max-file": "2"}}] * 4
    assert not any("logging" in each for each in merged(assembled(smoke, other, logging="local")).values())
