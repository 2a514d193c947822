# The image of Postern: wheels verified against requirements.lock, then only what `postern` needs, as a user of its own.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --require-hashes \
        --wheel-dir /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
RUN python -m venv /build \
 && /build/bin/pip install --disable-pip-version-check --no-index --find-links /wheels flit_core \
 && /build/bin/pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/postern \
 && /build/bin/pip --disable-pip-version-check --python /opt/postern/bin/python \
        install --no-index --find-links /wheels postern

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="HTTP email relay to Office 365 with a durable outbox" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin postern \
 && install --directory --owner postern --group postern --mode 0700 /var/lib/postern
COPY --from=build /opt/postern /opt/postern
ENV PATH=/opt/postern/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    POSTERN_DATA_DIR=/var/lib/postern \
    POSTERN_HOST=0.0.0.0
USER 10001
WORKDIR /var/lib/postern
VOLUME /var/lib/postern
EXPOSE 8025
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --start-interval=1s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8025/healthz', timeout=4)"]
ENTRYPOINT ["postern"]
CMD ["serve"]
