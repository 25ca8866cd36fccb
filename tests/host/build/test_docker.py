"""Tests the docker builder's parts that need no engine: choice, recipe, mounts, sentences."""

import os
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import requests

from ci.engine import unavailable
from mqhost.build.board import Board, find
from mqhost.build.builders import docker_image
from mqhost.build.builders.choose import choose_builder
from mqhost.build.builders.docker import DockerBuilder, _lines, mounts
from mqhost.build.builders.docker_engine import (
    EngineError,
    advice,
    connect,
    engine_address,
    explained,
)
from mqhost.build.builders.docker_image import Recipe
from mqhost.build.cleaning import clean
from mqhost.build.plan import Plan
from mqhost.cli.main import main
from mqhost.errors import UsageError
from mqhost.paths import ROOT


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.delenv("IDF_PATH", raising=False)


@pytest.fixture
def chip() -> Board:
    """Give a board that needs a toolchain."""
    return replace(find("sim"), name="chip", port="esp32", toolchain="espressif/idf:v5.5.1")


def test_without_an_engine_the_ways_out_are_named(no_engine):
    with pytest.raises(EngineError) as caught:
        connect()
    for words in ("no such socket", "docker.io", "DOCKER_HOST", "--builder native"):
        assert words in str(caught.value)


def test_a_socket_that_nobody_listens_on_says_so(monkeypatch, tmp_path):
    (tmp_path / "file.sock").touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/file.sock")
    with pytest.raises(EngineError, match="nobody listens there"):
        connect()


def test_without_permission_the_group_is_named(monkeypatch):
    def refuse(**_):
        lowest = PermissionError(13, "Permission denied")
        cause = requests.exceptions.ConnectionError("Connection aborted.", lowest)
        raise docker.errors.DockerException("no version") from cause

    monkeypatch.setattr(docker, "DockerClient", refuse)
    with pytest.raises(EngineError, match="usermod -aG docker"):
        connect()


def test_an_address_that_is_none_is_an_error_not_a_traceback(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "carrier-pigeon://loft")
    with pytest.raises(EngineError, match="carrier-pigeon"):
        connect()


def test_podmans_socket_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/podman/podman.sock")
    assert engine_address() == "unix:///run/user/1000/podman/podman.sock"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("write /x: no space left on device", "invoke clean --all"),
        ("bind source path does not exist: /x", "does not see this machine's folders"),
        ("dial tcp: lookup registry: no such host", "Check the network"),
        ("operation not permitted", "may not do this"),
        ("something else", "--builder native"),
    ],
)
def test_what_the_engine_complains_about_has_a_next_step(reason, words):
    assert words in advice(reason)
    with pytest.raises(EngineError, match="running the build"), explained("running the build"):
        raise docker.errors.APIError(reason)


def test_an_engine_that_goes_away_is_a_sentence():
    with pytest.raises(EngineError, match="went away"), explained("running the build"):
        raise requests.exceptions.ConnectionError("reset")


def test_the_simulated_board_is_built_by_this_machine(no_engine):
    heard: list[str] = []
    chosen = choose_builder(None, find("sim"), progress=lambda *report: heard.append(report[0]))
    assert chosen.name == "native"
    assert heard == ["building with native: sim runs on this machine"]


def test_a_toolchain_asks_for_an_engine_or_for_itself(no_engine, chip, monkeypatch):
    with pytest.raises(EngineError) as caught:
        choose_builder(None, chip)
    assert "espressif/idf:v5.5.1" in str(caught.value)
    monkeypatch.setenv("IDF_PATH", "/opt/idf")
    assert choose_builder(None, chip).name == "native"


def test_a_toolchain_means_docker_unless_only_this_machine_has_it(chip, monkeypatch):
    monkeypatch.setattr("mqhost.build.builders.docker.connect", lambda: None)
    monkeypatch.setattr(DockerBuilder, "is_at_hand", lambda self: False)
    monkeypatch.delenv("IDF_PATH", raising=False)
    assert choose_builder(None, chip).name == "docker"
    monkeypatch.setenv("IDF_PATH", "/opt/idf")
    assert choose_builder(None, chip).name == "native"
    monkeypatch.setattr(DockerBuilder, "is_at_hand", lambda self: True)
    assert choose_builder(None, chip).name == "docker"


def test_a_base_image_means_docker(no_engine):
    with pytest.raises(EngineError):
        choose_builder(None, find("sim"), "debian:12")
    with pytest.raises(UsageError, match="--base-image"):
        choose_builder("native", find("sim"), "debian:12")


def test_the_base_comes_from_option_environment_board_or_machine(chip, monkeypatch):
    monkeypatch.delenv("MQBOARD_BASE_IMAGE", raising=False)
    monkeypatch.setattr(docker_image, "_own_debian", lambda: "")
    assert Recipe.of(find("sim")).base == "debian:trixie-slim"
    monkeypatch.setattr(docker_image, "_own_debian", lambda: "debian:bookworm-slim")
    assert Recipe.of(find("sim")).base == "debian:bookworm-slim"
    assert Recipe.of(chip).base == chip.toolchain
    monkeypatch.setenv("MQBOARD_BASE_IMAGE", "mirror/idf")
    assert Recipe.of(chip).base == "mirror/idf"
    assert Recipe.of(chip, "given/idf").base == "given/idf"


def test_another_dockerfile_or_base_is_another_image():
    recipe = Recipe(Path("docker/x.Dockerfile"), "FROM a", "a")
    tags = {recipe.tag, replace(recipe, text="FROM b").tag, replace(recipe, base="b").tag}
    assert len(tags) == 3 and all(tag.startswith("mqboard/x:") for tag in tags)


def test_every_port_has_a_dockerfile_that_takes_a_base():
    for name in docker_image._FILES.values():
        text = (ROOT / "docker" / name).read_text()
        assert docker_image._DEFAULT.search(text)
        assert "\nFROM ${BASE}\n" in text


def test_only_the_build_tree_and_the_caches_can_be_written(tmp_path):
    plan = Plan(
        board="x",
        tree=tmp_path / "tree",
        steps=(),
        dry_run=(),
        environment={},
        fingerprint="",
        executable=tmp_path,
        compiled=tmp_path,
        frozen_content=tmp_path,
        library=tmp_path,
        reads=(Path("/source"), Path("/board"), Path("python3"), tmp_path / "tree"),
        caches=(tmp_path / "ccache",),
    )
    seen = {mount["Target"]: mount["ReadOnly"] for mount in mounts(plan)}
    assert seen == {
        "/source": True,
        "/board": True,
        str(tmp_path / "tree"): False,
        str(tmp_path / "ccache"): False,
    }
    assert all(mount["Source"] == mount["Target"] for mount in mounts(plan))


def test_lines_are_whole_however_they_come():
    assert list(_lines([b"on", b"e\ntw", "ö".encode()[:1], "ö".encode()[1:], b"\n\nlast"])) == [
        "one",
        "twö",
        "",
        "last",
    ]


def test_cleaning_without_an_engine_still_cleans(no_engine, monkeypatch, tmp_path):
    for name in ("build", "cache"):
        (tmp_path / name / "deep").mkdir(parents=True)
    monkeypatch.setattr("mqhost.build.cleaning.BUILD", tmp_path / "build")
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    assert list(clean(everything=False)) == [f"Removed {tmp_path}/build"]
    assert (tmp_path / "cache").exists()
    lines = list(clean(everything=True))
    assert "No Docker engine answers" in lines[0]
    assert lines[1:] == [f"Removed {tmp_path}/cache"]
    assert os.listdir(tmp_path) == []


def test_outside_of_projects_only_what_builds_left_is_removed(monkeypatch, tmp_path, capsys):
    for name in ("PROJECT", "CHECKOUT"):
        monkeypatch.setattr(f"mqhost.build.cleaning.{name}", None)
    monkeypatch.setattr("mqhost.build.cleaning.BUILD", tmp_path)
    for name in ("sim/build.log", "esp32/image.json", "esp32/build.json", "lib/anybodys.o"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == f"Removed {tmp_path}/esp32\nRemoved {tmp_path}/sim\n"
    assert os.listdir(tmp_path) == ["lib"]


def test_a_bench_that_does_not_name_docker_leaves_it_out_with_a_reason(no_engine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--only docker" in unavailable(quick=True)
    assert unavailable(quick=False) == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in unavailable(quick=False)
