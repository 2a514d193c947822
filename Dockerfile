# The image of Postern: wheels verified against requirements.lock, then only what `postern` needs, as a user of its own.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.lock ./
RUN python -m pip wheel --require-hashes --wheel-dir /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
# The bill of materials is made of what was installed: `docker run --rm --entrypoint cat postern /opt/postern/sbom.cdx.json`
RUN python -m venv /build \
 && /build/bin/pip install --no-index --find-links /wheels flit_core cyclonedx-bom \
 && /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/postern \
 && /build/bin/pip --python /opt/postern/bin/python install --no-index --find-links /wheels "postern[traces]" \
 && /build/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
        --output-format JSON --output-file /opt/postern/sbom.cdx.json /opt/postern

FROM ${PYTHON}
RUN groupadd --system --gid 10001 postern \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin postern \
 && install --directory --owner postern --group postern --mode 0700 /var/lib/postern
COPY --from=build /opt/postern /opt/postern
ENV PATH=/opt/postern/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    POSTERN_DATA_DIR=/var/lib/postern \
    POSTERN_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/postern
VOLUME /var/lib/postern
EXPOSE 8025
# By http.client, which asks no proxy: HTTP_PROXY is for what is outside.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --start-interval=1s \
    CMD ["python", "-c", "import http.client, os, sys; link = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('POSTERN_PORT') or 8025), timeout=4); link.request('GET', '/healthz'); sys.exit(link.getresponse().status != 200)"]
ENTRYPOINT ["postern"]
CMD ["serve"]

ARG PYTHON
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="HTTP email relay to Office 365 with a durable outbox" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON}"
