"""deploy/kubernetes as kustomize renders it (the one in kubectl, or kustomize itself)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("sqlite", "postgres", "azure")

Json = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Json, ...]:
    """Every resource of an overlay."""
    told = subprocess.run([*_kustomize(), FOLDER / overlay], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "deprecated" not in told.stderr
    return tuple(yaml.safe_load_all(told.stdout))


def only(overlay: str, kind: str, name: str = "postern") -> Json:
    """The one resource of a kind with a name, without the hash of a generated one."""
    [found] = [it for it in rendered(overlay) if it["kind"] == kind and it["metadata"]["name"].startswith(name)]
    return found


def pod(overlay: str) -> Json:
    """What a pod of the Deployment is."""
    spec: Json = only(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Json:
    """Its only container."""
    [only_one] = pod(overlay)["containers"]
    found: Json = only_one
    return found


def environment(overlay: str) -> Iterator[tuple[str, str]]:
    """Every variable that the container gets, with its value."""
    [from_map] = container(overlay)["envFrom"]
    [settings] = [it for it in rendered(overlay) if it["metadata"]["name"] == from_map["configMapRef"]["name"]]
    yield from settings["data"].items()
    yield from ((it["name"], it["value"]) for it in container(overlay)["env"])


def _kustomize() -> list[str]:
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    assert "CI" not in os.environ, "kustomize is missing, and so is kubectl, which has it"
    pytest.skip("neither kustomize nor kubectl is installed here")
