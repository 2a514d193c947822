"""The manifests are valid for Kubernetes, use known settings and meet the Pod Security Standard `restricted`."""

import re
from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest

from app.settings import Settings
from tests.deploy.kubernetes import FOLDER, OVERLAYS, container, environment, only, pod, rendered

VERSIONS = ("1.30", "1.33", "1.37")  # the oldest with `sleep` in preStop, and the newest in the package
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
everywhere = pytest.mark.parametrize("overlay", OVERLAYS)


@everywhere
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(overlay: str, version: str) -> None:
    """An unknown field is an error. The package has no schema for ServiceMonitor."""
    checked = [it for it in rendered(overlay) if it["kind"] != "ServiceMonitor"]
    assert len(checked) >= 5
    for resource in checked:
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_check_is_strict() -> None:
    """It reports an unknown field."""
    wrong = {**only("sqlite", "Service"), "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@everywhere
def test_the_restricted_standard(overlay: str) -> None:
    """Each rule of the Pod Security Standard `restricted`, and a read-only root."""
    its_pod, its_container = pod(overlay), container(overlay)
    of_pod, of_container = its_pod["securityContext"], its_container["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & its_pod.keys()
    assert all("hostPort" not in port for port in its_container["ports"])
    assert {kind for volume in its_pod["volumes"] for kind in volume.keys() - {"name"}} <= {
        "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret",
    }  # fmt: skip
    assert of_container["allowPrivilegeEscalation"] is False
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["runAsUser"] > 0
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"} & of_pod.keys()
    assert of_container.keys() == {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
    assert of_container["readOnlyRootFilesystem"] is True
    assert its_pod["automountServiceAccountToken"] is False


@everywhere
def test_the_network_policy(overlay: str) -> None:
    """Egress: DNS, 587 and 443 to public addresses, and PostgreSQL if used. Ingress: the gateway, and Prometheus."""
    policy = only(overlay, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels(overlay).items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    names, public, *database = policy["egress"]
    assert ports(names) == {("UDP", 53), ("TCP", 53)}
    assert names["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert ports(public) == {("TCP", 587), ("TCP", 443)}
    assert all({"10.0.0.0/8", "169.254.0.0/16"} <= {*block["ipBlock"]["except"]} for block in public["to"][:1])
    assert [ports(rule) for rule in database] == ([] if overlay == "sqlite" else [{("TCP", 5432)}])
    coming = [{("TCP", 8025)}, {("TCP", 9025)}] if overlay == "azure" else [{("TCP", 8025)}]
    assert [ports(rule) for rule in policy["ingress"]] == coming
    assert all("from" in rule for rule in policy["ingress"])
    assert all("to" in rule for rule in policy["egress"])


@everywhere
def test_postern_understands_its_settings(overlay: str) -> None:
    """Each variable is a setting, the ports are those of the manifests, and each file is in a mounted folder."""
    mounted = [PurePosixPath(it["mountPath"]) for it in container(overlay)["volumeMounts"]]
    given = dict(environment(overlay))
    for variable, value in given.items():
        name = variable.removeprefix("POSTERN_").lower()
        assert name in DEFAULTS or name.removesuffix("_file") in DEFAULTS, variable
        if value.startswith("/"):
            assert PurePosixPath(value).parent in mounted, variable
    open_ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    assert open_ports == {"http": DEFAULTS["port"], "metrics": int(given["POSTERN_METRICS_PORT"])}
    assert "POSTERN_DATABASE_URL_FILE" in given or PurePosixPath("/var/lib/postern") in mounted


@everywhere
def test_the_secret_is_documented(overlay: str) -> None:
    """The command in README.md creates each key that a pod reads; the manifests contain no Secret."""
    readme = (FOLDER / "README.md").read_text("utf-8")
    made = set(re.findall(r"--from-file=([a-z-]+)=", readme))
    folder = "/run/secrets/postern/"
    read = {value.removeprefix(folder) for _, value in environment(overlay) if value.startswith(folder)}
    assert {"api-key"} <= read <= made
    assert all(it["kind"] != "Secret" for it in rendered(overlay))


@everywhere
def test_the_grace_period_is_sufficient(overlay: str) -> None:
    """It is longer than preStop, requests (10 s), emails and webhooks in flight together."""
    wanted = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"] + 10 + 2 * DEFAULTS["drain_seconds"]
    assert pod(overlay)["terminationGracePeriodSeconds"] > wanted


@everywhere
def test_references_exist(overlay: str) -> None:
    """Selectors match the pods, probes a port, and the pod has its volume claim and service account."""
    deployment = only(overlay, "Deployment")["spec"]
    assert deployment["selector"]["matchLabels"].items() <= labels(overlay).items()
    for service in (it["spec"] for it in rendered(overlay) if it["kind"] == "Service"):
        assert service["selector"].items() <= labels(overlay).items()
        assert {port["targetPort"] for port in service["ports"]} <= {it["name"] for it in container(overlay)["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container(overlay)[probe]["httpGet"]["port"] == "http"
    assert container(overlay)["readinessProbe"]["httpGet"]["path"] == "/readyz"
    only(overlay, "ServiceAccount", pod(overlay)["serviceAccountName"])
    for volume in pod(overlay)["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            only(overlay, "PersistentVolumeClaim", claim["claimName"])


def test_an_embedded_database_has_one_process() -> None:
    """The old pod ends before the new one starts, and only one pod can mount the volume."""
    deployment = only("sqlite", "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert only("sqlite", "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOncePod"]


@pytest.mark.parametrize("overlay", ["postgres", "azure"])
def test_on_postgresql_one_replica_is_always_available(overlay: str) -> None:
    """During an upgrade and while nodes are drained; replicas are spread over nodes and zones."""
    deployment, budget = only(overlay, "Deployment")["spec"], only(overlay, "PodDisruptionBudget")["spec"]
    assert deployment["replicas"] > budget["minAvailable"] >= 1
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    spread = pod(overlay)["topologySpreadConstraints"]
    assert {it["topologyKey"] for it in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for selector in (budget["selector"], *(it["labelSelector"] for it in spread)):
        assert selector["matchLabels"].items() <= labels(overlay).items()


def test_the_service_monitor_finds_the_metrics() -> None:
    """Its selector matches a Service that has its port."""
    monitor = only("azure", "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    wanted = monitor["spec"]["selector"]["matchLabels"]
    [found] = [it for it in rendered("azure") if it["kind"] == "Service"
               and wanted.items() <= it["metadata"]["labels"].items()]  # fmt: skip
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval"}
    assert endpoint["port"] in {port["name"] for port in found["spec"]["ports"]}


def labels(overlay: str) -> dict[str, str]:
    """Return the labels of a pod."""
    found: dict[str, str] = only(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
    return found


def ports(rule: dict[str, Any]) -> set[tuple[str, int]]:
    """Return the ports of a rule of a NetworkPolicy."""
    return {(port["protocol"], port["port"]) for port in rule["ports"]}
