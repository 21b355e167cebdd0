# The proxy on any image that has Python 3.11 or newer, with `venv`, as `python3`. What it adds (114 MB, most of them for
# Bedrock, Vertex and traces: an image has every extra) has no pip, needs no shell, and cannot be written by the user that
# it runs as; a read-only root file system is enough.
# `tests/ops/image.sh` builds it without registry or daemon and proves that.
#
#   docker build -t llm-stream-proxy .
#   docker run --rm -p 8080:8080 -e LLM_STREAM_PROXY_AUTH__ANONYMOUS=true llm-stream-proxy
#
# The base image and the package index are the builder's choice:
#   --build-arg BASE=python:3.13-slim@sha256:…  --build-arg PIP_INDEX_URL=…
ARG BASE=python:3.13-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
# Known to pip by its own name; stays in this stage.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock /build/
# The environment that is shipped has no pip: the one beside it fills it.
RUN python3 -m venv --without-pip /opt/venv && python3 -m venv /build/pip && \
    /build/pip/bin/pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: \
      --requirement /build/requirements.lock
COPY proxy /build/proxy
# Compiled here, because nothing can be written later; `unchecked-hash` needs no look at the source at each start.
RUN ln -s "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" /build/site && \
    cp -r /build/proxy /build/site/ && find /opt/venv -name __pycache__ -prune -exec rm -r {} + && \
    /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib && \
    chmod -R a+rX,go-w /opt/venv

# hadolint ignore=DL3006
FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-stream-proxy" \
      org.opencontainers.image.description="Streaming reverse proxy between LLM callers and provider APIs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# On the admin port where there is one, else on the main port. Kubernetes uses the probes of the chart instead.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-I", "-c", "import http.client as h\nfor port in (9090, 8080):\n  try:\n    c = h.HTTPConnection('127.0.0.1', port, timeout=1); c.request('GET', '/healthz')\n    if c.getresponse().status == 200: raise SystemExit(0)\n  except OSError: pass\nraise SystemExit(1)"]
ENTRYPOINT ["python", "-I", "-m", "proxy"]
# Anything but loopback is refused without `auth.keys` or `auth.anonymous`: a published port needs a decision.
CMD ["serve", "--listen", "0.0.0.0:8080"]
