"""docker-compose.yml uses known settings and existing files, and opens no unnecessary port."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "postern"]
POSTERNS = [name for name in OURS if any(it.startswith("POSTERN_") for it in SERVICES[name].get("environment", {}))]
THE_SECRETS = SERVICES["secrets"]["command"][0]


def test_the_demo_needs_no_profile() -> None:
    """The default services use only the image of Postern; the others need a profile."""
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == [
        "secrets",
        "office365",
        "postern",
    ]
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    assert profiles == {"gateway", "postgres", "observability"}


@pytest.mark.parametrize("name", [*OURS, "nginx"])
def test_containers_have_few_rights(name: str) -> None:
    """Read-only root, no capabilities, no new privileges, not root; except the step that creates the secrets."""
    service = SERVICES[name]
    if name == "secrets":
        assert service["network_mode"] == "none"
        return
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user", "10001:10001") == "10001:10001"


@pytest.mark.parametrize("name", POSTERNS)
def test_postern_understands_its_settings(name: str) -> None:
    """Each variable is a setting, secrets are files, and the step `secrets` creates each file."""
    environment = SERVICES[name]["environment"]
    for variable, value in environment.items():
        setting = variable.removeprefix("POSTERN_").removesuffix("_FILE").lower()
        assert setting in Settings.model_fields or variable == "POSTERN_SMTP_CA_FILE", variable
        if value.startswith("/run/demo/") and "ca" not in value.rpartition("/")[2]:
            assert f'"{value.removeprefix("/run/demo/")}"' in THE_SECRETS
    assert "POSTERN_PASSWORD" not in environment
    drain = Settings.model_fields["drain_seconds"].default
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > 10 + 2 * drain


def test_the_gateway_is_trusted() -> None:
    """Postern uses forwarded headers from the gateway network only, and only Postern and nginx are in it."""
    [network] = COMPOSE["networks"]["gateway"]["ipam"]["config"]
    assert SERVICES["postern"]["environment"]["POSTERN_FORWARDED_ALLOW_IPS"] == network["subnet"]
    assert {name for name, service in SERVICES.items() if "gateway" in service.get("networks", ())} == {
        "postern",
        "nginx",
    }


def test_published_ports() -> None:
    """Ports are on loopback only; every network except `edge` is internal."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert {name for name, given in COMPOSE["networks"].items() if not (given or {}).get("internal")} == {"edge"}
    for name, service in SERVICES.items():
        assert "edge" in service.get("networks", ()) or "ports" not in service, name


def test_mounts_exist() -> None:
    """Each is a file of the repository or a declared volume."""
    for service in SERVICES.values():
        for source in (volume.partition(":")[0] for volume in service.get("volumes", ())):
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_secrets_step_is_python() -> None:
    """It has no text that Compose would replace as a variable."""
    compile(THE_SECRETS, "secrets", "exec")
    assert not re.search(r"\$", THE_SECRETS)
