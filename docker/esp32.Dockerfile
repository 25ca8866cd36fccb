# What the ESP32 boards' firmware is built with: ESP-IDF, its tools, and ccache. MicroPython, the
# build tree and the compiler's cache are mounted from this machine's cache folder, where they stay.
ARG BASE=espressif/idf:v5.5.1
FROM ${BASE}
RUN command -v ccache >/dev/null \
    || { export DEBIAN_FRONTEND=noninteractive \
        && apt-get -q update \
        && apt-get -q -y --no-install-recommends install ccache \
        && rm -rf /var/lib/apt/lists/*; }
# Builds run as the user who asked for them, who does not own ESP-IDF's repository.
RUN git config --system --add safe.directory '*'
ENV IDF_CCACHE_ENABLE=1
