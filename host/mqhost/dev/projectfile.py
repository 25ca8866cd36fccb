"""Reads the project's mqboard.toml again whenever `mqboard dev` looks at its files: what is wrong
in it is told, and so is what only another start can follow.
"""

from pathlib import Path

from mqhost.errors import UsageError
from mqhost.link.settingsfile import SettingsFile
from mqhost.paths import SETTINGS
from mqhost.project.model import Project

_AGAIN = "Nothing was sent. End mqboard dev and start it again: it goes on with what is said now."


class ProjectFile:
    """mqboard.toml of `project`, as it was when somebody began to develop what is in `folder`.

    `named`: that folder was named then, whatever the file calls the application. `frozen`: the
    firmware has it.
    """

    def __init__(self, project: Project, folder: Path, named: bool = True) -> None:
        self.path = project.root / SETTINGS
        self._root = project.root
        self._folder = folder.resolve()
        self._named = named
        self.frozen = project.freezes(folder)

    def read(self) -> Project:
        """Return the project as it is now. UsageError for what is wrong in its file, and where the
        application is another one by now, or comes to boards another way."""
        SettingsFile.read(self.path)  # what is beside the project
        project = Project.load(self._root)
        if not self._named and project.application.resolve() != self._folder:
            raise UsageError(
                f"{self.path}: the application is {project.application} now, and no longer "
                f"{self._folder}. {_AGAIN}"
            )
        if project.freezes(self._folder) != self.frozen:
            how = "not frozen any more" if self.frozen else "frozen now"
            raise UsageError(f"{self.path}: {self._folder} is {how}. {_AGAIN}")
        return project
