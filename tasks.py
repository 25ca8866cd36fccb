"""Defines the Invoke tasks: each loads, calls and prints; what is done is in host/mqhost.

Those for work on MQBoard itself are in ci/tasks.py.
"""

from invoke import task
from rich.console import Console

from ci.tasks import bench, docs, page, screens, screenshots, test  # noqa: F401
from mqhost.cli.tasks import demo as demo_
from mqhost.cli.tasks import show
from mqhost.cli.tasks.edge import edge
from mqhost.cli.tasks.twin import Twin

out = Console(highlight=False, soft_wrap=True)
JSON = "print JSON instead of the table"

# The same as commands of mqboard, which have their options.
OTA = Twin("ota")
SIM = Twin("sim", before=("--prefix", "--server", "--port"))
BROKER = Twin("broker", before=("--port",))
BUILD, CLEAN, KEYS, DOCTOR, ARTIFACT, FLASH, PROVISION, MONITOR = (
    Twin(name, before=())
    for name in ("build", "clean", "keys", "doctor", "artifact", "flash", "provision", "monitor")
)


@task(**BUILD.texts)
@edge
@BUILD.options
def build(_, **options):
    """Build a board's firmware into build/<board>/.

    Examples:
      ./invoke build --board sim
      ./invoke build --board esp32 --version 1.2.0
      ./invoke build --board esp32s3 --flash-size 16MiB
      ./invoke build --board esp32 --dry-run
    """
    BUILD.run(options)


@task(**KEYS.texts)
@edge
@KEYS.options
def keys(_, **options):
    """Show the keys that firmware is signed with; make the first when there is none.

    Examples:
      ./invoke keys
      ./invoke keys --next
      ./invoke keys --public
    """
    KEYS.run(options)


@task(
    help={
        "verify": "check every board: its plan, layout and files, against MicroPython's own",
        "micropython": "for --verify: a MicroPython checkout, instead of the release if cloned",
        "board": "only this board",
        "json": JSON,
    }
)
@edge
def boards(_, verify=False, micropython=None, board=None, json=False):
    """List the boards; or check them, without a compiler.

    Examples:
      ./invoke boards
      ./invoke boards --verify
      ./invoke boards --verify --board esp32s3-16mib --micropython ../micropython
    """
    show.definitions(out, board=board, verify=verify, micropython=micropython, as_json=json)


@task(**DOCTOR.texts)
@edge
@DOCTOR.options
def doctor(_, **options):
    """Say what this machine has, what is missing, and what each thing is needed for.

    Examples:
      ./invoke doctor
    """
    DOCTOR.run(options)


@task(**CLEAN.texts)
@edge
@CLEAN.options
def clean(_, **options):
    """Remove what builds wrote.

    Examples:
      ./invoke clean
      ./invoke clean --all
    """
    CLEAN.run(options)


@task(**BROKER.texts)
@edge
@BROKER.options
def broker(_, **options):
    """Run an MQTT broker in the foreground until Ctrl-C.

    Examples:
      ./invoke broker
      ./invoke broker --port 1884
    """
    BROKER.run(options)


@task(**SIM.texts)
@edge
@SIM.options
def sim(_, **options):
    """Run a simulated board in the foreground until Ctrl-C.

    Examples:
      ./invoke sim --prefix esp32/test
      ./invoke sim --prefix esp32/small --heap 128k
    """
    SIM.run(options)


@task(**OTA.texts)
@edge
@OTA.options
def ota(_, **options):
    """Push new firmware over MQTT and wait until the board has confirmed it.

    Examples:
      ./invoke ota --prefix esp32/test
      ./invoke ota --prefix esp32/test --image downloads/app.bin
    """
    OTA.run(options)


@task(**ARTIFACT.texts)
@edge
@ARTIFACT.options
def artifact(_, **options):
    """Download firmware that CI built, check it, and keep it for ota and flash.

    Examples:
      ./invoke artifact --board esp32
      ./invoke artifact --board esp32 --run v1.2.0 --repo OWNER/NAME
    """
    ARTIFACT.run(options)


@task(help={"json": f"{JSON}; the story goes to stderr"})
@edge
def demo(_, json=False):
    """Show the main job: build, boot a simulated board, talk to it, update it.

    Examples:
      ./invoke demo
    """
    demo_.run(out, as_json=json)


@task(**FLASH.texts)
@edge
@FLASH.options
def flash(_, **options):
    """Write a board's firmware over USB, the first time or after all else failed.

    Examples:
      ./invoke flash --board esp32
      ./invoke flash --board esp32 --port /dev/ttyUSB0 --erase
    """
    FLASH.run(options)


@task(**PROVISION.texts)
@edge
@PROVISION.options
def provision(_, **options):
    """Give a board its configuration over USB: network, broker, prefix.

    Examples:
      ./invoke provision --ssid farm --server broker.lan --prefix farm/pump --ca ca.pem
      ./invoke provision --board esp32 --config board.json --output factory.bin
    """
    PROVISION.run(options)


@task(**MONITOR.texts)
@edge
@MONITOR.options
def monitor(_, **options):
    """Show a board's console at a serial port until Ctrl-].

    Examples:
      ./invoke monitor
      ./invoke monitor --port /dev/ttyUSB0
    """
    MONITOR.run(options)
