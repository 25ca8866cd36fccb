"""Unloads the modules that a board needs seldom: idle, it has their memory for the user.

They are imported inside the functions that need them. What still runs keeps all that it uses: to
unload a module is to let go of its name. Together they take about 10 KB of the heap on 64 bits.
"""

import sys

MODULES = (  # a tuple of names is frozen, a list is not
    "mqboard.apps",
    "mqboard.apps.boot",
    "mqboard.apps.manifest",
    "mqboard.apps.record",
    "mqboard.apps.stage",
    "mqboard.apps.trial",
    "mqboard.commands",
    "mqboard.config",
    "mqboard.copies",
    "mqboard.health.bootrecord",
    "mqboard.health.confirm",
    "mqboard.health.configtrial",
    "mqboard.health.crash",
    "mqboard.health.lastwords",
    "mqboard.health.outlive",
    "mqboard.modules",
    "mqboard.modules.begin",
    "mqboard.modules.crashes",
    "mqboard.modules.folders",
    "mqboard.mqtt.pump",
    "mqboard.net.dns",
    "mqboard.net.ethernet",
    "mqboard.net.modem",
    "mqboard.net.order",
    "mqboard.net.sntp",
    "mqboard.net.wifi",
    "mqboard.phases",
    "mqboard.portal",
    "mqboard.portal.begin",
    "mqboard.portal.form",
    "mqboard.portal.http",
    "mqboard.portal.names",
    "mqboard.portal.portal",
    "mqboard.repl",
    "mqboard.repl.job",
    "mqboard.repl.jobs",
    "mqboard.repl.mounted",
    "mqboard.repl.mountedfile",
    "mqboard.repl.output",
    "mqboard.repl.plain",
    "mqboard.repl.printing",
    "mqboard.repl.source",
    "mqboard.repl.trace",
    "mqboard.repl.watchdog",
    "mqboard.startup",
    "mqboard.timesync",
    "mqboard.update",
    "mqboard.update.decode",
    "mqboard.update.errors",
    "mqboard.update.install",
    "mqboard.update.offer",
    "mqboard.update.receiver",
    "mqboard.update.shared",
    "mqboard.update.signature",
    "mqboard.update.slots",
    "mqboard.update.writer",
    "mqwire.app",
    "mqwire.codes",
    "mqwire.config",
    "mqwire.crash",
    "mqwire.files",
    "mqwire.flash",
    "mqwire.mount",
    "mqwire.names",
    "mqwire.offer",
    "mqwire.rules",
    "mqwire.secrets",
    "mqwire.update",
)
_COMMANDS = "mqboard.commands."
_FILES = "mqboard.files"


def unload():
    """Unload what is loaded of them, and the commands of people, those for files, too."""
    try:
        for name in list(sys.modules):
            if name in MODULES or name.startswith(_COMMANDS) or name.startswith(_FILES):
                _forget(name)
    except MemoryError:  # which ends no turn of the board's: the next time, then
        pass


def _forget(name):
    sys.modules.pop(name, None)
    package, _, leaf = name.rpartition(".")
    package = sys.modules.get(package)
    if hasattr(package, leaf):
        delattr(package, leaf)
