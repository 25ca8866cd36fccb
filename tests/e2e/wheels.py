"""Makes a release of a copy of this tree, by the very commands of .github/workflows/release.yml."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml

from ci import packing
from mqhost.fleet.page import vendored
from mqhost.paths import ROOT, cache_dir

VERSION = "9.8.7"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
_GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "core.hooksPath=")
# Stands for the workflow's own venv: what it has is here already, setuptools too.
_PYTHON3 = f"""#!/bin/sh
mkdir -p "$3/bin"
ln -s /bin/true "$3/bin/pip"
printf '#!/bin/sh\\nexec {sys.executable} "$@" --no-isolation\\n' >"$3/bin/python"
chmod +x "$3/bin/python"
"""


@dataclass(frozen=True)
class Release:
    """What was made: `notes` are what the check said, `commit` the one that was tagged."""

    source: Path
    wheel: Path
    sdist: Path
    notes: str
    commit: str


def run(*argv, **options):
    words = [str(word) for word in argv]
    return subprocess.run(words, capture_output=True, text=True, timeout=180, **options)


def wheelhouse():
    """Return a folder with the wheels that the dependencies need, and no others.

    It is kept in the cache: asking the index for each of them takes half a minute on some days.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"]
    key = hashlib.sha256("\n".join([sys.version, *sorted(wanted)]).encode()).hexdigest()[:16]
    folder = cache_dir() / "test-wheels" / key
    if not folder.is_dir():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir(parents=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        made = run(*PIP, "wheel", "--wheel-dir", new, *wanted)
        assert made.returncode == 0, made.stderr
        new.rename(folder)
    return folder


def make_release(folder):
    """Make the release VERSION in `folder`: wheel and sdist."""
    vendored.ensure()
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    for name in ("host", "ci", *(at.name for at in packing.FOLDERS)):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    (source / "CHANGELOG.md").write_text(
        re.sub(r"^## \[.*", f"## [{VERSION}] - 2026-01-02", changelog, count=1, flags=re.M)
    )
    for line in (("init", "-q"), ("add", "."), ("commit", "-qm", "x"), ("tag", f"v{VERSION}")):
        made = run(*_GIT, *line, cwd=source)
        assert made.returncode == 0, made.stderr
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python3").write_text(_PYTHON3)
    (programs / "python3").chmod(0o755)
    _step("Build", folder, PATH=f"{programs}:{os.environ['PATH']}")
    _step("Check that it is what the tag says", folder)
    (wheel,) = (source / "dist").glob("*.whl")
    (sdist,) = (source / "dist").glob("*.tar.gz")
    commit = run("git", "rev-parse", "--short=8", "HEAD", cwd=source).stdout.strip()
    return Release(source, wheel, sdist, (folder / "summary").read_text(), commit)


def _step(name, folder, **environment):
    """Run the step of that name of the job that makes the packages, as a runner does."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["package"]["steps"]
    (step,) = (step for step in steps if step.get("name") == name)
    variables = {"TAG": f"v{VERSION}", "PYTHONPATH": "host:frozen", "RUNNER_TEMP": str(folder)}
    variables |= {"GITHUB_STEP_SUMMARY": str(folder / "summary")}
    kept = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    ended = run(
        *("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]),
        cwd=folder / "source",
        env=kept | variables | environment,
    )
    assert ended.returncode == 0, f"{name}: {ended.stdout[-2000:]}{ended.stderr}"
