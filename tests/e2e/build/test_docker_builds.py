"""Tests the docker builder on a real engine: the one that runs, or one that is started for this."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from waiting import wait_until
from wheels import VERSION, wheelhouse

from ci.engine import engine as running_engine
from mqhost.build import board as boards
from mqhost.build.build import build
from mqhost.build.builders import docker as docker_builder
from mqhost.build.builders import docker_image
from mqhost.build.builders.docker import DockerBuilder
from mqhost.build.builders.docker_engine import LABEL, EngineError
from mqhost.build.builders.docker_image import Recipe, ensure_image, remove_all
from mqhost.build.plan import Plan, Step
from mqhost.build.sources.source import find_source
from mqhost.errors import BuildError
from mqhost.paths import DOCKER, FROZEN, ROOT

sys.path.insert(0, str(ROOT / "tests" / "host"))
from fakeidf import make_idf  # noqa: E402

COMPILED = re.compile(r"^CC ", re.MULTILINE)
DEADLINE = 30.0
HOST_IMAGE = "mqboard/host:test"
MODULE = "mqboard/identity.py"
MINIMAL = "ARG BASE=scratch\nFROM ${BASE}\nRUN echo made > /made\n"


@pytest.fixture(scope="module")
def engine():
    if os.geteuid() != 0 and not os.environ.get("DOCKER_HOST"):
        pytest.skip("needs root, to start a Docker engine, or DOCKER_HOST, to use one")
    with running_engine() as running:
        yield running
        # It may be somebody's own engine: the image that builds of sim use may stay.
        images = running.client.images.list(filters={"label": LABEL})
        for image in sorted(images, key=lambda image: image.attrs["Created"], reverse=True):
            names = [*image.tags, image.labels.get("mqboard.base", "")]
            if any(re.match("mqboard/(minimal|idf):", name) for name in names):
                running.client.images.remove(image.id, force=True)


@pytest.fixture(scope="module")
def minimal(engine):
    """Make the recipe of an image that is made at once."""
    return Recipe(Path("docker/minimal.Dockerfile"), MINIMAL, engine.base)


@pytest.fixture
def run(engine, minimal, tmp_path):
    """run(script, …) carries out a plan of shell scripts in a container; returns its log."""
    builder = DockerBuilder(engine.client, minimal)

    def run(*scripts, reads=(), progress=lambda *report: None):
        ensure_image(engine.client, minimal)
        log = tmp_path / "log" / "build.log"
        builder.run(plan_of(tmp_path / "tree", *scripts, reads=reads), log, progress)
        return log.read_text()

    (tmp_path / "tree").mkdir()
    return run


def plan_of(tree, *scripts, reads=()):
    return Plan(
        board="test",
        tree=tree,
        steps=tuple(Step("working", ("sh", "-c", script)) for script in scripts),
        dry_run=(),
        environment={"LC_ALL": "C", "GREETING": "hello"},
        fingerprint="",
        executable=tree / "firmware",
        compiled=tree,
        frozen_content=tree,
        library=tree,
        reads=reads,
    )


def containers(engine):
    return engine.client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)


def wait_gone(engine):
    """Wait until no container of ours is left."""
    wait_until(lambda: not containers(engine), DEADLINE, "the container is still there")


def test_docker_builds_the_same_bytes_as_this_machine(engine, sim, tmp_path):
    """On a base image of the same Debian release, that is: with the same compiler."""
    made = {}
    # The first build takes a minute, in which somebody may change a frozen file.
    for builder in ("docker", "native", "docker"):
        base = engine.base if builder == "docker" else None
        made[builder] = build(
            sim, builder=builder, base_image=base, version="1.0", output=tmp_path / builder
        )
    assert made["docker"].sha256 == made["native"].sha256
    report = (tmp_path / "docker" / "build.json").read_text()
    assert f'"toolchain": "{engine.base}@sha256:' in report
    assert not containers(engine)


def test_docker_compiles_only_what_changed(engine, sim, tmp_path):
    module = tmp_path / "frozen" / MODULE
    module.parent.mkdir(parents=True)

    def compiled(line):
        module.write_text((FROZEN / MODULE).read_text() + line)
        options = {"version": "1.0", "output": tmp_path, "extra_frozen": tmp_path / "frozen"}
        build(sim, builder="docker", base_image=engine.base, **options)
        return len(COMPILED.findall((tmp_path / "build.log").read_text()))

    compiled("")
    assert 1 <= compiled(f"\nNOW = {time.time_ns()}\n") <= 3


def test_an_esp32_board_is_built_in_its_toolchains_image(engine, sim, monkeypatch, tmp_path):
    """Everything but the compiler: an image with a fake ESP-IDF, which is not on its PATH."""
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    idf = make_idf(tmp_path / "idf")
    for program, interpreter in (("idf.py", "#!/usr/bin/python3"), ("python3", "#!/bin/sh")):
        lines = (idf / "bin" / program).read_text().splitlines()
        text = "\n".join([interpreter, *lines[1:]]) + "\n"
        (idf / "bin" / program).write_text(text.replace(sys.executable, "/usr/bin/python3"))
    plain = Recipe.of(sim, engine.base)
    ensure_image(engine.client, plain)
    text = f"ARG BASE=scratch\nFROM ${{BASE}}\nENV IDF_PATH={idf}\n"
    toolchain = Recipe(Path("docker/idf.Dockerfile"), text, plain.tag)
    ensure_image(engine.client, toolchain)
    real = docker_builder.mounts
    ours = [docker_builder._mount(path, True) for path in (idf, ROOT / "host", FROZEN)]
    monkeypatch.setattr(docker_builder, "mounts", lambda plan: [*real(plan), *ours])
    result = build(
        # Debian's source is no whole checkout, and has not all of MicroPython's library.
        replace(boards.find("esp32"), manifest=ROOT / "manifest" / "esp32_small.py"),
        micropython=find_source(sim).path,
        builder="docker",
        base_image=toolchain.tag,
        output=tmp_path / "out",
    )
    report = json.loads(result.report.read_text())
    assert report["builder"] == "docker"
    assert report["toolchain"].startswith(f"{toolchain.tag}@sha256:")
    (calls,) = (tmp_path / "cache" / "build").glob("*/make/idf-calls.json")
    seen = json.loads(calls.read_text())["environment"]
    assert seen["IDF_CCACHE_ENABLE"] == "1" and seen["IDF_TARGET"] == "esp32"


def test_a_script_runs_in_the_tree_with_the_plans_environment(run, tmp_path):
    log = run("pwd; echo $GREETING; cat /made", "echo second >&2")
    assert {str(tmp_path / "tree"), "hello", "made", "second"} <= set(log.splitlines())


def test_no_file_belongs_to_root_afterwards(run, monkeypatch, tmp_path):
    os.chown(tmp_path / "tree", 4321, 4321)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    monkeypatch.setattr(os, "getgid", lambda: 4321)
    log = run("touch file; id -u; touch $HOME/writable")
    assert "4321" in log.splitlines()
    status = (tmp_path / "tree" / "file").stat()
    assert (status.st_uid, status.st_gid) == (4321, 4321)


def test_what_is_read_cannot_be_written(run, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(BuildError, match="(?i)read-only file system"):
        run(f"touch {source}/file", reads=(source,))
    assert not list(source.iterdir())


def test_a_failure_in_a_container_shows_the_end_of_the_log(run, engine, tmp_path):
    with pytest.raises(BuildError) as caught:
        run("seq 100; echo no rule for this; exit 3", "touch never")
    text = str(caught.value)
    assert "no rule for this" in text and "status 3" in text and "\n5\n" not in text
    assert str(tmp_path / "log" / "build.log") in text
    assert not (tmp_path / "tree" / "never").exists()
    assert not containers(engine)


def test_ctrl_c_stops_and_removes_the_container(run, engine):
    def interrupt(what, done, total):
        if containers(engine) and done == 0 and seen.append(what) is None and len(seen) > 1:
            raise KeyboardInterrupt

    seen: list[str] = []
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("echo CC one; sleep 600", progress=interrupt)
    assert time.monotonic() - started < DEADLINE
    wait_gone(engine)


def test_a_killed_build_leaves_no_container(run, engine, minimal, tmp_path):
    """Not even we get to clean up: the container ends with its input."""
    run("true")
    script = (
        "import sys; sys.path[:0] = ['tests', 'tests/e2e', 'tests/e2e/build']\n"
        "from pathlib import Path\n"
        "from mqhost.build.builders.docker_engine import connect\n"
        "from mqhost.build.builders.docker import DockerBuilder\n"
        "from mqhost.build.builders.docker_image import Recipe\n"
        "from test_docker_builds import MINIMAL, plan_of\n"
        f"recipe = Recipe(Path('docker/minimal.Dockerfile'), MINIMAL, {minimal.base!r})\n"
        f"tree = Path({str(tmp_path / 'tree')!r})\n"
        "plan = plan_of(tree, 'touch started; sleep 600')\n"
        "DockerBuilder(connect(), recipe).run(plan, tree / 'log')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        started = tmp_path / "tree" / "started"
        wait_until(lambda: started.exists() or process.poll() is not None, DEADLINE)
        assert process.poll() is None
        assert containers(engine)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_gone(engine)


def test_the_host_tool_has_an_image_in_which_nobody_is_root(engine, release, tmp_path):
    shutil.copy(release.wheel, tmp_path)
    for wheel in wheelhouse().glob("*.whl"):
        shutil.copy(wheel, tmp_path)
    made = engine.client.api.build(
        path=str(tmp_path),
        dockerfile=str(DOCKER / "host.Dockerfile"),
        tag=HOST_IMAGE,
        buildargs={"BASE": engine.base, "EXTRAS": "", "PIP_NO_INDEX": "1"},
        labels={LABEL: "image"},
        rm=True,
        forcerm=True,
        decode=True,
    )
    said = "".join(str(event.get("stream") or event.get("error") or "") for event in made)
    assert "Successfully tagged" in said, said[-3000:]

    def inside(*command, **options):
        return engine.client.containers.run(HOST_IMAGE, command, remove=True, **options).decode()

    try:
        assert inside("--version") == f"mqboard {VERSION}\n"
        script = "id -un; pwd; touch here /opt/x; mqboard boards --definitions; command -v pip"
        words = inside("-c", f"{script}; true", entrypoint="sh").splitlines()
        assert words[:2] == ["mqboard", "/work"] and any("esp32s3" in word for word in words)
        assert not [word for word in words if word.endswith("/bin/pip")]
    finally:
        engine.client.images.remove(HOST_IMAGE, force=True)


def test_an_image_is_made_once_and_again_when_its_dockerfile_changed(engine, minimal):
    first = ensure_image(engine.client, minimal)
    assert ensure_image(engine.client, minimal)["Id"] == first["Id"]
    changed = Recipe(minimal.dockerfile, MINIMAL + "RUN echo more >> /made\n", minimal.base)
    second = ensure_image(engine.client, changed)
    assert second["Id"] != first["Id"]
    tags = [tag for image in engine.client.images.list(minimal.name) for tag in image.tags]
    assert tags == [changed.tag], "the older one is still there"


def test_an_image_is_made_again_when_its_base_changed(engine, minimal):
    name, other = "mqboard/moving:base", "RUN true\n"
    engine.client.images.get(engine.base).tag(name)
    recipe = Recipe(Path("docker/moving.Dockerfile"), MINIMAL, name)
    try:
        first = ensure_image(engine.client, recipe)
        ensure_image(engine.client, Recipe(Path("docker/other.Dockerfile"), MINIMAL + other, name))
        made = Recipe(Path("docker/other.Dockerfile"), MINIMAL + other, name).tag
        engine.client.images.get(made).tag(name)
        assert ensure_image(engine.client, recipe)["Id"] != first["Id"]
    finally:
        for tag in (recipe.tag, made, name):
            engine.client.images.remove(tag, force=True)


def test_an_image_that_cannot_be_built_shows_why_and_the_log(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    text = "ARG BASE\nFROM ${BASE}\nRUN echo the archive is on holiday && false\n"
    with pytest.raises(EngineError, match="the archive is on holiday") as caught:
        ensure_image(engine.client, Recipe(Path("docker/bad.Dockerfile"), text, engine.base))
    log = tmp_path / "log" / "mqboard-bad.log"
    assert str(log) in str(caught.value)
    assert "the archive is on holiday" in log.read_text()


def test_a_base_image_that_cannot_be_had_names_the_ways_out(engine):
    recipe = Recipe(Path("docker/x.Dockerfile"), MINIMAL, "localhost:9/nobody/nothing:1")
    with pytest.raises(EngineError) as caught:
        ensure_image(engine.client, recipe)
    for words in ("localhost:9/nobody/nothing:1", "--base-image", "--builder native"):
        assert words in str(caught.value)


def test_a_folder_that_the_engine_does_not_see_is_a_sentence(run, tmp_path):
    with pytest.raises(EngineError, match="does not see this machine's folders"):
        run("true", reads=(tmp_path / "not there",))


def test_cleaning_removes_images_and_containers(engine, minimal, monkeypatch):
    """Under another label: what is kept for the next build stays."""
    monkeypatch.setattr(docker_image, "LABEL", "mqboard-test")
    recipe = Recipe(Path("docker/dirt.Dockerfile"), MINIMAL + "RUN true\n", minimal.base)
    ensure_image(engine.client, recipe)
    container = engine.client.containers.create(recipe.tag, "true", labels=["mqboard-test"])
    removed = remove_all(engine.client)
    assert removed == [f"container {container.name}", f"image {recipe.tag}"]
    assert remove_all(engine.client) == []
