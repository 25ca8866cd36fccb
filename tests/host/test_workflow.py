"""The CI workflow: it calls tasks that exist, is pinned, asks for little, passes the linter."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from invoke import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser

import tasks
from mqhost.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
STEPS = [
    (f"{path.name}: {job}", step)
    for path in WORKFLOWS
    for job, body in yaml.safe_load(path.read_text())["jobs"].items()
    for step in body["steps"]
]


def parse(line):
    """Parse an invoke command line as Invoke would; ParseError if it would refuse."""
    words = [word for word in shlex.split(line, comments=True)][1:]
    collection = Collection.from_module(tasks)
    contexts = Parser(contexts=collection.to_contexts()).parse_argv(words)
    assert contexts, f"no task in {line}"
    return contexts


def invoke_lines():
    for where, step in STEPS:
        for line in step.get("run", "").splitlines():
            if re.match(r"\s*(\./)?invoke\b", line):
                yield where, line.strip()


def test_every_invoke_line_is_one_that_invoke_takes():
    lines = list(invoke_lines())
    for _, line in lines:
        parse(line)
    assert {line for _, line in lines} >= {
        "./invoke test",
        './invoke build --board "$BOARD" --builder native',
        "./invoke build --board sim --builder docker",
    }


@pytest.mark.parametrize("line", ["./invoke nope", "./invoke build --bord sim", "./invoke"])
def test_a_wrong_invoke_line_would_be_noticed(line):
    with pytest.raises((ParseError, AssertionError)):
        parse(line)


def test_every_python_module_that_is_run_exists():
    modules = {
        name
        for _, step in STEPS
        for name in re.findall(r"python3? -m ([\w.]+)", step.get("run", ""))
    }
    assert modules == {"ci.changes", "ci.summary"}
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in modules)


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it():
    for path in WORKFLOWS:
        uses = re.findall(r"uses: *(.+)", path.read_text())
        assert uses
        for text in uses:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text), text


def test_one_action_has_one_version():
    pins = {step["uses"].partition("@")[::2] for _, step in STEPS if "uses" in step}
    assert len({name for name, _ in pins}) == len(pins)


def test_nothing_is_permitted_but_what_a_job_needs():
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        assert "concurrency" in workflow
        for name, job in workflow["jobs"].items():
            assert "permissions" in job and "timeout-minutes" in job, name
            writes = {key for key, value in job["permissions"].items() if value == "write"}
            assert writes <= {
                "sign": {"id-token", "attestations"},
                "release": {"contents"},
            }.get(name, set())


def test_secrets_are_only_where_the_environment_is_protected():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            assert ("secrets." in str(job)) == (job.get("environment") == "signing"), name


def test_what_a_job_takes_from_another_exists():
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text())["jobs"]
        for name, job in jobs.items():
            needs = job.get("needs", [])
            needs = [needs] if isinstance(needs, str) else needs
            assert set(needs) <= jobs.keys()
            for other, output in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", str(job)):
                assert other in needs and output in jobs[other]["outputs"], name
            ids = {step.get("id") for step in job["steps"]}
            assert set(re.findall(r"steps\.([\w-]+)\.", str(job))) <= ids


def test_shell_steps_are_shell():
    for where, step in STEPS:
        if "run" in step:
            result = subprocess.run(
                ["bash", "-n"], input=step["run"], capture_output=True, text=True
            )
            assert result.returncode == 0, f"{where}: {result.stderr}"
            assert "${{" not in step["run"], f"{where}: values come through env"


def test_the_linter_is_content():
    program = Path(sys.executable).parent / "zizmor"
    argv = [program, "--offline", "--no-progress", "--strict-collection", "--persona=pedantic"]
    result = subprocess.run([*argv, ROOT / ".github"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
