#!/bin/bash
# Runs one command of a build where its toolchain is: build.sh PORT COMMAND [ARGUMENT ...]
# The plan of a build calls it, on a machine that has the toolchain and in a container alike.
set -eo pipefail

fail() {
    echo "build.sh: $1" >&2
    exit 2
}

# ESP-IDF's programs are on PATH after its export.sh; its containers do that only at an entry point.
enter_idf() {
    [ -n "${IDF_PATH:-}" ] || fail "IDF_PATH is not set: there is no ESP-IDF here."
    if [ -z "${IDF_PYTHON_ENV_PATH:-}" ] || ! command -v idf.py >/dev/null; then
        [ -f "$IDF_PATH/export.sh" ] || fail "$IDF_PATH has no export.sh: this is no ESP-IDF."
        # shellcheck source=/dev/null
        . "$IDF_PATH/export.sh" || fail "$IDF_PATH/export.sh failed; run $IDF_PATH/install.sh."
    fi
    # An activated .venv may stand before ESP-IDF's own Python.
    if [ -n "${IDF_PYTHON_ENV_PATH:-}" ]; then
        PATH=$IDF_PYTHON_ENV_PATH/bin:$PATH
    fi
    # What ESP-IDF brings along, for the list of what firmware is made of: it may be in a container.
    if [ -f "$IDF_PATH/.gitmodules" ]; then
        cp "$IDF_PATH/.gitmodules" idf.gitmodules
    fi
    if command -v ccache >/dev/null; then
        export IDF_CCACHE_ENABLE=1
    else
        unset IDF_CCACHE_ENABLE
    fi
}

[ $# -ge 2 ] || fail "usage: build.sh PORT COMMAND [ARGUMENT ...]"
port=$1
shift
case $port in
esp32) enter_idf ;;
unix) ;;
*) fail "unknown port $port" ;;
esac
exec "$@"
