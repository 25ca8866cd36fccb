# The host tool in a container: mqboard, to manage boards and to serve a fleet (docs/packaging.md).
# The build's context is a folder with the wheel of MQBoard; what it depends on may lie beside it.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get -q update \
    && apt-get -q -y --no-install-recommends install ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Of pyproject.toml, with its brackets; empty for none.
ARG EXTRAS=[fleet]
# Set by who builds without an index: all wheels are in the context then.
ARG PIP_NO_INDEX=0
COPY *.whl /wheels/
RUN python3 -m venv /opt/mqboard \
    && /opt/mqboard/bin/pip install --quiet --disable-pip-version-check --no-cache-dir \
        --find-links /wheels "$(echo /wheels/mqboard-*.whl)${EXTRAS}" \
    && /opt/mqboard/bin/pip uninstall --quiet --yes pip setuptools \
    && rm -rf /wheels
ENV PATH=/opt/mqboard/bin:$PATH PYTHONUNBUFFERED=1
# Settings, keys and the database of rollouts are in its home; what people work on in /work.
RUN useradd --create-home --uid 1000 mqboard && install -d -o mqboard -g mqboard /work
USER mqboard
WORKDIR /work
ENTRYPOINT ["mqboard"]
