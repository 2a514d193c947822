"""Activation of tracing by OpenTelemetry's environment variables; an unsupported or missing exporter is refused."""

from collections.abc import Mapping
from importlib.util import find_spec

from app.settings import SettingsError

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def traces_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether spans are exported. Raises SettingsError if that is requested but impossible."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter == "none":
        return False
    given = (exporter and "OTEL_TRACES_EXPORTER") or next(
        (name for name in _ENDPOINT_VARIABLES if environment.get(name)), ""
    )
    if not given:
        return False
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {exporter!r} is not supported. Give otlp, or none.")
    for name in _PROTOCOL_VARIABLES:
        if (protocol := environment.get(name, "").strip()) not in ("", "http/protobuf"):
            raise SettingsError(f"{name}: {protocol!r} is not supported. Give http/protobuf.")
    if not _installed():
        raise SettingsError(f"{given}: the tracing packages are not installed. Install postern[traces], or unset it.")
    return True


def _installed() -> bool:
    try:
        return all(find_spec(name) for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # not even what they are a part of
        return False
