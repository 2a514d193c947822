"""Manifests of deploy/kubernetes, rendered by kustomize or kubectl."""

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
    """Return the resources of an overlay."""
    done = subprocess.run([*_kustomize(), FOLDER / overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def only(overlay: str, kind: str, name: str = "postern") -> Json:
    """Return the resource of this kind whose name begins so; generated names end in a hash."""
    [found] = [it for it in rendered(overlay) if it["kind"] == kind and it["metadata"]["name"].startswith(name)]
    return found


def pod(overlay: str) -> Json:
    """Return the pod specification of the Deployment."""
    spec: Json = only(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Json:
    """Return the only container of the pod."""
    [only_one] = pod(overlay)["containers"]
    found: Json = only_one
    return found


def environment(overlay: str) -> Iterator[tuple[str, str]]:
    """Yield the environment variables of the container with their values."""
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
