"""Takes firmware that CI built to a board: downloaded, kept, pushed by its hash, confirmed."""

import os
import subprocess
import sys
from pathlib import Path

from mqhost.paths import ROOT

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "host"))
from fakebuild import pack  # noqa: E402
from fakegithub import TOKEN, FakeGitHub  # noqa: E402


def test_firmware_from_ci_is_pushed_out_of_the_store(board, variant, tmp_path, monkeypatch):
    built = variant("9.0")
    names = ("app.bin", "flash.bin", "image.json", "image.sig", "build.json")
    archive = pack({name: (built.folder / name).read_bytes() for name in names})
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
    with FakeGitHub() as hub:
        hub.add_run(7)
        hub.add_artifact(7, 70, "firmware-sim.v9.0", archive)
        argv = [sys.executable, "-m", "invoke", "artifact", "--board", "sim"]
        argv += ["--repo", hub.repository, "--output", str(tmp_path / "out")]
        environment = {"GITHUB_API_URL": hub.url, "GITHUB_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
        result = subprocess.run(
            argv, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
        )
    assert result.returncode == 0, result.stderr
    assert f"sim 9.0 ({built.sha256[:12]}) of run 7" in result.stdout
    assert (tmp_path / "out" / "app.bin").read_bytes() == built.app.read_bytes()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        argv = [sys.executable, "-m", "mqhost.cli", "--prefix", board.prefix, "--no-tls"]
        argv += ["--server", board.broker.host, "--port", str(board.broker.port)]
        argv += ["ota", "--image", built.sha256[:12]]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "9.0, confirmed in slot ota_1" in result.stdout
