"""Lists the Debian packages that MQBoard needs and what for, and installs the missing ones.

A package counts as there when what it provides is there (a program, a header), wherever it came
from. `ensure` installs the missing ones through apt when we are root, and otherwise raises an error
with the exact command.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from mqhost.errors import ToolError

_APT = ("apt-get", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120")
_TAIL_LINES = 8
FONT = "/usr/share/fonts/opentype/inter"
POSTGRES = "/usr/lib/postgresql/*/bin"  # where Debian has the server's programs, by version


@dataclass(frozen=True)
class Package:
    """A Debian package. `purposes`: what cannot be done without it; `provides`: a program's name,
    or a header's path below /usr/include, that shows that it is there."""

    name: str
    provides: str
    reason: str
    purposes: tuple[str, ...]

    @property
    def present(self) -> bool:
        """Whether this machine has what the package provides."""
        if self.provides.startswith("/"):
            return Path(self.provides).exists()
        if not self.provides.endswith(".h"):
            places = ["/usr/sbin", "/sbin", *glob(POSTGRES)]
            path = os.pathsep.join([os.environ.get("PATH", os.defpath), *places])
            return shutil.which(self.provides, path=path) is not None
        root = Path("/usr/include")
        return (root / self.provides).exists() or any(root.glob(f"*-linux-*/{self.provides}"))


PACKAGES = (
    Package("git", "git", "names the commit a firmware is built from", ("test",)),
    Package("gcc", "gcc", "compiles the simulated board's MicroPython", ("build", "test")),
    Package("libc6-dev", "stdio.h", "headers of the C library", ("build", "test")),
    Package("make", "make", "runs MicroPython's build", ("build", "test")),
    Package("libmbedtls-dev", "mbedtls/ssl.h", "TLS of the simulated board", ("build", "test")),
    Package("dpkg-dev", "dpkg-source", "unpacks MicroPython's source", ("source", "build", "test")),
    Package("mosquitto", "mosquitto", "the MQTT broker", ("broker", "test")),
    Package("postgresql", "postgres", "the other database of rollouts", ("database", "test")),
    Package("chromium", "chromium", "a browser, for the page of the fleet", ("page", "test")),
    Package("chromium-driver", "chromedriver", "drives that browser", ("page", "test")),
    Package("fonts-inter", FONT, "letters for its pictures", ("page",)),
    Package("pngquant", "pngquant", "makes those pictures small", ("page",)),
    Package("rabbitmq-server", "rabbitmq-plugins", "a cluster of brokers", ("cluster", "test")),
    Package("nats-server", "nats-server", "another broker", ("cluster", "test")),
    Package("haproxy", "haproxy", "an address for several", ("cluster", "test")),
    Package("docker.io", "dockerd", "a container engine: builds in containers", ("docker",)),
    Package("iptables", "iptables", "the network of that engine's containers", ("docker",)),
    Package("debootstrap", "debootstrap", "makes a base image without a registry", ("docker",)),
)
PURPOSES = ("source", "build", "broker", "database", "cluster", "test", "page", "docker")


def missing(*purposes: str) -> tuple[Package, ...]:
    """Return the packages that `purposes` need (all, if none is named) and are not there."""
    unknown = set(purposes) - set(PURPOSES)
    if unknown:
        raise ValueError(f"unknown purpose {', '.join(sorted(unknown))}")
    wanted = [p for p in PACKAGES if not purposes or set(p.purposes) & set(purposes)]
    return tuple(package for package in wanted if not package.present)


def install_command(packages: Iterable[Package]) -> str:
    """Return the command that a person types to install `packages`."""
    return "apt-get install --no-install-recommends " + " ".join(p.name for p in packages)


def ensure(*purposes: str, say: Callable[[str], None] = lambda line: None) -> None:
    """Install what `purposes` need and is missing; `say` is told what happens.

    Raises ToolError with the names and the exact command if we may not, or if it fails.
    """
    wanted = missing(*purposes)
    if not wanted:
        return
    names = ", ".join(f"{package.name} ({package.reason})" for package in wanted)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ToolError(
            f"Missing Debian packages: {names}. As root: {install_command(wanted)} "
            "(first apt-get update, if apt does not know them)."
        )
    say(f"Installing Debian packages: {names}")
    install = [*_APT, "install", *(package.name for package in wanted)]
    if _apt(install).returncode == 0:
        return
    say("Updating apt's package lists")
    update = _apt([*_APT, "update"])
    result = _apt(install)
    if result.returncode:
        lines = (update.stdout if update.returncode else "") + result.stdout
        tail = "\n".join(lines.rstrip().splitlines()[-_TAIL_LINES:])
        raise ToolError(
            f"Installing {names} failed:\n{tail}\n"
            f"Check the network and apt's sources, then: {install_command(wanted)}"
        )


def _apt(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run apt-get, asking nothing; its output, errors included, is the result's stdout."""
    return subprocess.run(
        argv,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
