"""The container files, checked without a container engine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from guardedit.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PORT = "9108"


def read(path):
    return YAML(typ="safe").load(path.read_text())


@pytest.fixture(scope="module")
def services():
    return read(DEPLOY / "compose.yaml")["services"]


@pytest.fixture(scope="module")
def instructions():
    """(instruction, arguments) pairs of the Dockerfile, with continued lines joined and without comments."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["guardedit", "valkey", "prometheus"])
def test_every_container_is_an_ordinary_user_on_a_read_only_root(services, name):
    service = services[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert "healthcheck" in service
    assert not service.get("privileged", False)


def test_every_published_port_is_on_the_loopback_address(services):
    for name, service in services.items():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), name


def test_every_foreign_image_has_a_version(services):
    for name in ("valkey", "prometheus"):
        assert re.search(r":v?\d+\.\d+\.\d+", services[name]["image"]), name


def test_every_volume_that_is_named_is_declared_and_the_other_files_exist(services):
    declared = read(DEPLOY / "compose.yaml")["volumes"]
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in declared


def test_what_compose_sets_is_what_guardedit_reads(services):
    environment = services["guardedit"]["environment"]
    known = set(re.findall(r"GUARDEDIT_\w+", (ROOT / "guardedit/settings.py").read_text()))

    settings = Settings.from_environment(environment)

    assert set(environment) <= known
    assert settings.metrics == ("0.0.0.0", int(PORT))
    assert settings.redis_url == "redis://valkey:6379/0"


def test_prometheus_scrapes_the_port_that_compose_opens(services):
    [scrape] = read(DEPLOY / "prometheus.yaml")["scrape_configs"]

    assert scrape["job_name"] == "guardedit"
    assert scrape["static_configs"] == [{"targets": [f"guardedit:{PORT}"]}]
    assert services["guardedit"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert PORT in services["guardedit"]["healthcheck"]["test"][-1]


def test_the_health_check_is_a_program(services):
    compile(services["guardedit"]["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_the_volume_of_the_ledger_is_where_the_image_keeps_it(services, instructions):
    environment = dict(
        setting.split("=", 1) for word, rest in instructions if word == "ENV" for setting in shlex.split(rest)
    )

    assert environment["GUARDEDIT_HOME"] == "/var/lib/guardedit"
    assert ("VOLUME", "/var/lib/guardedit") in instructions
    assert "ledger:/var/lib/guardedit" in services["guardedit"]["volumes"]
    name = environment["GUARDEDIT_POLICY"].removeprefix("/etc/guardedit/")
    assert (ROOT / name).parent == ROOT / "policies"


def test_the_image_is_built_in_two_stages_and_runs_guardedit_as_an_ordinary_user(services, instructions):
    words = [word for word, _ in instructions]
    last = instructions[len(words) - 1 - words[::-1].index("FROM") :]

    assert words.count("FROM") == 2
    assert ("ENTRYPOINT", '["guardedit"]') in last
    assert ("USER", services["guardedit"]["user"]) in last
    assert ("EXPOSE", PORT) in last
    assert not [rest for word, rest in last if word == "RUN" and "pip" in rest]


def test_everything_is_installed_under_the_constraints(instructions):
    installs = [rest for word, rest in instructions if word == "RUN" and "pip install" in rest]

    assert len(installs) == 2
    assert all("--constraint constraints.txt" in rest for rest in installs)


def test_what_the_image_copies_is_let_in_and_nothing_else_is(instructions):
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    let_in = {rule[1:].rstrip("/") for rule in rules if rule.startswith("!")}
    copied = {
        Path(part).name
        for word, rest in instructions
        if word == "COPY" and not rest.startswith("--from")
        for part in rest.split()[:-1]
    }

    assert rules[0] == "*"
    assert copied == let_in


def test_no_secret_is_written_into_image_or_compose():
    for path in (ROOT / "Dockerfile", DEPLOY / "compose.yaml"):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(r"(?i)password|secret|token|api_?key|://[^/\s]*:[^/\s]*@", text), path.name
