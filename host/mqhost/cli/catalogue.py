"""Names the commands of `mqboard` and where each is defined: it is imported when somebody uses it.

A command is one line of the table: its name, "module:object", and its help's first sentence, which
`mqboard --help` shows without importing anything (a test holds the two together).
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from mqhost.cli.edge import CommandGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "adopt": (
        "mqhost.cli.adopt:adopt_command",
        "Flash a board over USB, give it its configuration, and meet it over MQTT.",
    ),
    "artifact": (
        "mqhost.cli.tasks.building:artifact_command",
        "Download firmware that CI built, check it, and keep it for ota and flash.",
    ),
    "boards": (
        "mqhost.cli.manage.boards:boards_command",
        "List the boards that the broker knows, online or not, and how they are.",
    ),
    "broker": (
        "mqhost.cli.tasks.desk:broker_command",
        "Run an MQTT broker for this machine in the foreground until Ctrl-C.",
    ),
    "broker-config": (
        "mqhost.cli.manage.broker_config:broker_config_command",
        "Make a mosquitto configuration with TLS, in which each board has its own topics only.",
    ),
    "build": (
        "mqhost.cli.tasks.building:build_command",
        "Build a board's firmware into build/<board>/.",
    ),
    "cancel": (
        "mqhost.cli.repl.cancel:cancel_command",
        "End code that runs on the board, of the command with that ID or the only one; list the "
        "rest.",
    ),
    "cat": (
        "mqhost.cli.files.looking:cat_command",
        "Print files of the board.",
    ),
    "clean": (
        "mqhost.cli.tasks.building:clean_command",
        "Remove what builds wrote.",
    ),
    "clock": (
        "mqhost.cli.manage.clock:clock_command",
        "Tell what time the board has, whether it is to be trusted, and from where.",
    ),
    "completion": (
        "mqhost.cli.completion:completion_command",
        "Print the script that makes TAB complete commands, options, prefixes and names in SHELL.",
    ),
    "config": (
        "mqhost.cli.manage.config:config_command",
        "Show or change a board's configuration, which no change can lock you out of.",
    ),
    "cp": (
        "mqhost.cli.files.carrying:cp_command",
        'Copy files to the board, from it, or on it: ":" marks what is on the board.',
    ),
    "crash": (
        "mqhost.cli.manage.crash:crash_command",
        "List the boots of a board that ended badly; show one, or clear them.",
    ),
    "crowd": (
        "mqhost.cli.fleet.crowd:crowd_command",
        "Play many boards, to see what a broker and a fleet's tools stand; Ctrl-C ends it.",
    ),
    "deploy": (
        "mqhost.cli.manage.deploy:deploy_command",
        "Bring the application in DIR to the board, and wait until it runs it or is back.",
    ),
    "dev": (
        "mqhost.cli.manage.dev:dev_command",
        "Keep the application in DIR on a board like its folder: what you save runs there at once.",
    ),
    "df": (
        "mqhost.cli.files.looking:df_command",
        "Say how full the board's filesystems are.",
    ),
    "doctor": (
        "mqhost.cli.tasks.building:doctor_command",
        "Say what this machine has, what is missing, and what each thing is needed for.",
    ),
    "edit": (
        "mqhost.cli.files.editing:edit_command",
        "Edit a file of the board with VISUAL or EDITOR, and put it back if it was changed.",
    ),
    "eval": (
        "mqhost.cli.repl.code:eval_command",
        "Run Python CODE on the board; print what it prints, and the value of a last expression.",
    ),
    "exec": (
        "mqhost.cli.repl.code:exec_command",
        "Run Python CODE on the board and print what it prints, and nothing else.",
    ),
    "flash": (
        "mqhost.cli.tasks.cable:flash_command",
        "Write a board's firmware over USB, the first time or after all else failed.",
    ),
    "fleet": (
        "mqhost.cli.fleet.command:fleet_command",
        "Work with many boards: list them, ask them, and change them, chosen by what they are.",
    ),
    "get": (
        "mqhost.cli.files.carrying:get_command",
        "Get files from the board: into the folder TO, or as the file TO; without TO, in here.",
    ),
    "info": (
        "mqhost.cli.manage.info:info_command",
        "Ask the board for its version, image, slot, memory and uptime.",
    ),
    "install": (
        "mqhost.cli.files.installing:install_command",
        "Install packages of micropython-lib on the board, and what they need.",
    ),
    "keys": (
        "mqhost.cli.tasks.building:keys_command",
        "Show the keys that firmware is signed with; make the first when there is none.",
    ),
    "log": (
        "mqhost.cli.manage.log:log_command",
        "Follow the board's log until Ctrl-C; with PATTERN the logs of all boards that match.",
    ),
    "ls": (
        "mqhost.cli.files.looking:ls_command",
        "List the files in a folder of the board, the root folder if there is no PATH.",
    ),
    "mkdir": (
        "mqhost.cli.files.changing:mkdir_command",
        "Make folders on the board.",
    ),
    "modules": (
        "mqhost.cli.manage.modules:modules_command",
        "List the modules of a board's configuration, and how they are; or change one.",
    ),
    "monitor": (
        "mqhost.cli.tasks.cable:monitor_command",
        "Show a board's console at a serial port until Ctrl-].",
    ),
    "mount": (
        "mqhost.cli.repl.mount:mount_command",
        "Let the board import from the folder DIR of this computer: edit, Ctrl-D, run.",
    ),
    "mv": (
        "mqhost.cli.files.changing:mv_command",
        "Move or rename files and folders on the board; several go into the folder TO.",
    ),
    "new": (
        "mqhost.cli.project.new:new_command",
        "Make a project of your own in the new folder NAME: an application, a board, their "
        "firmware.",
    ),
    "ota": (
        "mqhost.cli.update.ota:ota_command",
        "Push new firmware and wait until the board has confirmed it.",
    ),
    "provision": (
        "mqhost.cli.tasks.cable:provision_command",
        "Give a board its configuration over USB: network, broker, prefix.",
    ),
    "put": (
        "mqhost.cli.files.carrying:put_command",
        "Put files on the board: into the folder TO, or as the file TO; without TO, into its root.",
    ),
    "repl": (
        "mqhost.cli.prompt.command:repl_command",
        "Open a Python prompt on the board; or run the program that comes through a pipe.",
    ),
    "reset": (
        "mqhost.cli.manage.reset:reset_command",
        "Restart the board and wait until it is back; say in which mode, and why.",
    ),
    "rm": (
        "mqhost.cli.files.changing:rm_command",
        "Remove files of the board.",
    ),
    "rmdir": (
        "mqhost.cli.files.changing:rmdir_command",
        "Remove folders of the board that are empty.",
    ),
    "rollback": (
        "mqhost.cli.manage.rollback:rollback_command",
        "Boot the firmware in the board's other slot again, and wait until it is confirmed.",
    ),
    "run": (
        "mqhost.cli.repl.code:run_command",
        "Run FILE, a Python file of this computer, on the board; print what it prints.",
    ),
    "sbom": (
        "mqhost.cli.attest.sbom:sbom_command",
        "List what firmware is made of: MicroPython, libraries, each module; with licences.",
    ),
    "sign": (
        "mqhost.cli.update.sign:sign_command",
        "Sign the offer beside IMAGE, an app.bin that was built without the private key.",
    ),
    "sim": (
        "mqhost.cli.tasks.desk:sim_command",
        "Run a simulated board in the foreground until Ctrl-C.",
    ),
    "status": (
        "mqhost.cli.manage.info:status_command",
        "Print what the broker remembers of the board; exit code 4 if it is offline.",
    ),
    "sync": (
        "mqhost.cli.files.syncing:sync_command",
        "Make the board's folder REMOTE like FOLDER: only what differs goes over.",
    ),
    "test": (
        "mqhost.cli.project.test:test_command",
        "Run the tests of the project, with pytest and what else it is told.",
    ),
    "touch": (
        "mqhost.cli.files.changing:touch_command",
        "Make files on the board, empty, or give those that are there the time that it is now.",
    ),
    "tree": (
        "mqhost.cli.files.looking:tree_command",
        "Show the folders of the board, and what is in them, as a tree.",
    ),
    "verify": (
        "mqhost.cli.attest.verify:verify_command",
        "Say which commit, key and builder made IMAGE, proven by a signature, or fail with code 5.",
    ),
}


class Catalogue(Mapping[str, click.Command]):
    """The commands of COMMANDS by name; one that is looked up is imported, and only that."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, command = COMMANDS[name][0].partition(":")
        found: click.Command = getattr(import_module(module), command)
        give_variables(found, ("MQBOARD", name))
        return found

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def give_variables(command: click.Command, words: tuple[str, ...]) -> None:
    """Let each option be given by a variable, too: MQBOARD_OTA_PATIENCE for --patience of ota."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            name = next((one for one in option.opts if one.startswith("--")), option.name or "")
            option.envvar = "_".join((*words, name.lstrip("-"))).replace("-", "_").upper()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            give_variables(inner, (*words, name))


class MainGroup(CommandGroup):
    """The command `mqboard` itself: what the table says is shown without importing a command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(commands=Catalogue(), **options)  # type: ignore[arg-type]

    def sentences(self) -> list[tuple[str, str]]:
        return [(name, sentence) for name, (_, sentence) in sorted(COMMANDS.items())]
