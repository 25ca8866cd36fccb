# What the simulated board's firmware is built with: a compiler, and the TLS library it is linked
# with. Its program runs on the machine that asks for it, so mqhost hands in the Debian release of
# that machine; the one here is for machines that are no Debian. Sources and build tree are mounted.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get -q update \
    && apt-get -q -y --no-install-recommends install gcc libc6-dev libmbedtls-dev make python3 \
    && rm -rf /var/lib/apt/lists/*
