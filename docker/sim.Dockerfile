# What the simulated board's firmware is built with: a compiler, the TLS library it is linked with,
# and what MicroPython's build asks for its version (git in a checkout, dpkg-dev in Debian's source).
# The firmware's program runs on the machine that asks for it, so mqhost hands in the Debian release
# of that machine; the one here is for machines that are no Debian. Sources and build tree are mounted.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get -q update \
    && apt-get -q -y --no-install-recommends install \
        dpkg-dev gcc git libc6-dev libmbedtls-dev make python3 \
    && rm -rf /var/lib/apt/lists/*
# Builds run as the user who asked for them, who may own none of the checkout.
RUN git config --system --add safe.directory '*'
