"""Tests the CI workflow: it calls tasks that exist, is pinned, asks for little, passes linters."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from invoke import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser
from proofs import proven_files
from rsakeys import private_pem, rsa_key

from ci.docs.reference import fresh_tasks
from mqhost.artifacts.opened import open_evidence
from mqhost.attest.check import check
from mqhost.build.board import find
from mqhost.paths import ROOT
from mqhost.signing.keys import SigningKey
from mqhost.signing.offer import Offer

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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
    collection = Collection.from_module(fresh_tasks())
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
        './invoke test --micropython "$MICROPYTHON"',
        './invoke build --board "$BOARD" --builder native',
        "./invoke build --board sim --builder docker",
    }


def test_the_tests_run_on_both_releases_that_the_simulated_board_is_built_from():
    workflow = yaml.safe_load((ROOT / ".github/workflows/firmware.yml").read_text())
    sim = find("sim")
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["micropython"] == [sim.micropython, sim.fallback]


@pytest.mark.parametrize("line", ["./invoke nope", "./invoke build --bord sim", "./invoke"])
def test_a_wrong_invoke_line_would_be_noticed(line):
    with pytest.raises((ParseError, AssertionError)):
        parse(line)


def test_every_python_module_that_is_run_exists():
    modules = {
        name
        for _, step in STEPS
        for name in re.findall(r"python3?\"? -m (?!venv)([\w.]+)", step.get("run", ""))
    }
    assert modules == {"build", "ci.changes", "ci.release", "ci.reproduce", "ci.summary"}
    ours = modules - {"build"}
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in ours)


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it():
    for path in WORKFLOWS:
        uses = re.findall(r"uses: *(.+)", path.read_text())
        assert uses
        for text in uses:
            whose = r"(actions/[\w-]+|pypa/gh-action-pypi-publish)"
            assert re.fullmatch(whose + r"@[0-9a-f]{40} # v\d+\.\d+\.\d+", text), text


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
                "attest": {"id-token", "attestations"},
                "pypi": {"id-token"},
                "image": {"packages", "id-token", "attestations"},
            }.get(name, set())


def test_no_job_that_builds_may_publish():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            if "actions/checkout" in str(job):
                assert job["permissions"] == {"contents": "read"}, name


def test_what_is_published_was_built_and_attested_before():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["pypi"]["environment"] == "pypi"
    for name in ("pypi", "image"):
        assert set(jobs[name]["needs"]) == {"package", "attest"}
    tested = PROJECT["optional-dependencies"]["test"]
    (builder,) = (item for item in tested if item.startswith("build="))
    assert builder in str(jobs["package"])


@pytest.mark.parametrize(
    ("tag", "names"), [("v1.2.3", ["1.2.3", "latest"]), ("v1.2.3rc1", ["1.2.3rc1"])]
)
def test_the_image_is_pushed_under_its_version_and_only_a_release_is_the_latest(
    tmp_path, tag, names
):
    """By the very step, with a docker that only notes what it is told."""
    [script] = [step["run"] for _, step in STEPS if step.get("name") == "Push it"]
    told = tmp_path / "told"
    (tmp_path / "docker").write_text(
        f'#!/bin/sh\necho "$@" >>{told}\n[ "$1" != login ] || read token\n'
        '[ "$1" != inspect ] || echo ghcr.io/x@sha256:ab\n'
    )
    (tmp_path / "docker").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TAG": tag, "TOKEN": "t", "WHO": "w"}
    environment |= {"IMAGE": "ghcr.io/Owner/Name", "GITHUB_OUTPUT": str(tmp_path / "output")}
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    subprocess.run(argv, env=environment, check=True)
    lines = told.read_text().splitlines()
    assert [line for line in lines if line.startswith("push ")] == [
        f"push --quiet ghcr.io/owner/name:{name}" for name in names
    ]
    assert (tmp_path / "output").read_text() == "name=ghcr.io/owner/name\ndigest=sha256:ab\n"


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


def sign_step(tmp_path, key, **environment):
    """Run the step that signs, beside an artifact in `tmp_path`."""
    [script] = [step["run"] for _, step in STEPS if step.get("name") == "Sign the offer"]
    places = {name: str(tmp_path / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    environment = {"PATH": os.environ["PATH"], "MQBOARD_SIGNING_KEY": key} | places | environment
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_the_signing_job_signs_what_names_its_key(tmp_path):
    key = rsa_key(0)
    pem = private_pem(key)
    public = SigningKey(key, "test").public
    folder = tmp_path / "firmware" / "firmware-esp32.v1.2.3"
    folder.mkdir(parents=True)
    for name in (public.id, "0" * 16):
        files = proven_files(key=None)
        app = files["app.bin"]
        offer = Offer.make(app, board="esp32", mcu="esp32", version="1.0", seq=1, key=name)
        for file, data in (files | {"image.json": offer.to_bytes()}).items():
            (folder / file).write_bytes(data)
        result = sign_step(tmp_path, pem)
        if name == public.id:
            assert result.returncode == 0, result.stderr + result.stdout
            assert check(open_evidence(folder).files, [public]).offer
            offer_of_its_key = offer.to_bytes()
            signature = (folder / "image.sig").read_bytes()
            assert public.signed(offer.to_bytes(), signature)
            assert (tmp_path / "GITHUB_OUTPUT").read_text() == "signed=firmware-esp32.v1.2.3\n"
        else:
            assert result.returncode == 1 and public.id in result.stdout
            (folder / "image.json").write_bytes(offer_of_its_key)
            (folder / "flash.bin").write_bytes(b"of another build")
            result = sign_step(tmp_path, pem)
            assert result.returncode == 1 and "not about this flash.bin" in result.stdout
        assert "PRIVATE" not in result.stdout + result.stderr


def test_without_a_signing_key_only_a_tag_fails(tmp_path):
    (tmp_path / "firmware" / "firmware-esp32.v1").mkdir(parents=True)
    assert sign_step(tmp_path, "", GITHUB_REF_TYPE="branch").returncode == 0
    assert "not signed" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    assert sign_step(tmp_path, "", GITHUB_REF_TYPE="tag").returncode != 0
    assert not (tmp_path / "GITHUB_OUTPUT").exists()


def test_the_linter_is_content():
    program = Path(sys.executable).parent / "zizmor"
    argv = [program, "--offline", "--no-progress", "--strict-collection", "--persona=pedantic"]
    result = subprocess.run([*argv, ROOT / ".github"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
