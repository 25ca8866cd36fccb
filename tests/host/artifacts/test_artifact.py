"""Tests firmware from CI: found, downloaded through anything, checked, never half of it kept."""

import hashlib
import os
import stat
import time

import pytest
from fakebuild import BOARD, bundle_bytes, bundle_files, pack
from fakegithub import TOKEN, FakeGitHub

from mqhost.artifacts import artifact, github
from mqhost.artifacts.artifact import fetch
from mqhost.artifacts.bundle import BundleError, bundle_name
from mqhost.errors import ToolError, UsageError
from mqhost.signing.offer import load_image
from mqhost.update.store import ImageStore

NAME = bundle_name(BOARD, "1.0")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Run a GitHub with one run and a token for it; cache and output are the test's own."""
    with FakeGitHub() as running:
        monkeypatch.setenv("GITHUB_API_URL", running.url)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        monkeypatch.setattr(artifact, "BUILD", tmp_path / "build")
        monkeypatch.setattr(github.GitHub.__init__, "__kwdefaults__", {"pause": 0.001})
        running.add_run(7)
        running.add_artifact(7, 70, NAME, bundle_bytes("1.0"))
        yield running


def get(run="latest", **options):
    return fetch(options.pop("board", BOARD), run, "owner/board", **options)


def nothing_kept(tmp_path, output="build/esp32"):
    assert not (tmp_path / output).exists()
    assert ImageStore().images() == []
    assert not list((tmp_path / "cache").rglob("*.zip"))


def test_the_latest_run_lands_in_the_build_folder_and_the_store(hub, tmp_path):
    found = get()
    assert (found.offer.version, found.folder) == ("1.0", tmp_path / "build" / BOARD)
    assert "run 7 (main, 00000000)" in found.origin
    files = bundle_files("1.0")
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == files
    assert ImageStore().get(found.offer.sha256).app == files["app.bin"]
    assert load_image(found.folder / "app.bin")[0] == found.offer
    assert not list((tmp_path / "cache" / "downloads").glob("*.zip*"))


def test_the_token_goes_to_the_api_and_nowhere_else(hub):
    get()
    servers = {server for server, _, _ in hub.requests}
    assert servers == {"api", "store"}
    for server, _, headers in hub.requests:
        assert (headers.get("Authorization") == f"Bearer {TOKEN}") == (server == "api")
        assert TOKEN not in str(headers) or server == "api"


def test_latest_means_the_repositorys_own_code_and_a_good_end(hub):
    hub.add_run(8, conclusion="failure")
    hub.add_run(9, head="stranger/board", event="pull_request")
    hub.add_run(10, head_branch="feature")
    assert "run 7" in get().origin


def test_a_run_of_a_forks_pull_request_is_not_trusted(hub, tmp_path):
    for number, head in ((8, "stranger/board"), (9, None)):
        hub.add_run(number, head=head, event="pull_request")
        hub.add_artifact(number, number, NAME, bundle_bytes("1.0"))
        with pytest.raises(UsageError, match="could contain anything"):
            get(str(number))
    nothing_kept(tmp_path)


def test_a_run_by_its_number_into_a_folder_of_ones_own(hub, tmp_path):
    hub.add_run(8, head_branch="feature")
    hub.add_artifact(8, 80, bundle_name(BOARD, "2.0"), bundle_bytes("2.0"))
    found = get("8", output=tmp_path / "mine")
    assert (found.offer.version, found.folder) == ("2.0", tmp_path / "mine")
    assert not (tmp_path / "build").exists()


def test_of_several_attempts_the_newest_counts(hub):
    hub.add_artifact(7, 71, bundle_name(BOARD, "1.1"), bundle_bytes("1.1"))
    hub.add_artifact(7, 72, bundle_name(BOARD, "1.2"), bundle_bytes("1.2"), expired=True)
    hub.add_artifact(7, 73, bundle_name("esp32-spiram", "9"), b"")
    assert get().offer.version == "1.1"


def test_the_board_is_found_on_a_later_page(hub):
    old = hub.artifacts[7].pop()
    for number in range(150):
        hub.add_artifact(7, 1000 + number, f"log-{number}", b"")
    hub.artifacts[7].append(old)
    assert get().offer.version == "1.0"


def test_a_release_by_its_tag_needs_no_token(hub, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN")
    hub.add_asset("v1.0", 5, NAME + ".zip", bundle_bytes("1.0"))
    found = get("v1.0")
    assert (found.offer.version, found.origin) == ("1.0", "release v1.0")


def test_the_digest_that_github_tells_is_checked(hub, tmp_path):
    hub.artifacts[7][0]["digest"] = "sha256:" + "0" * 64
    with pytest.raises(ToolError, match="not what GitHub recorded"):
        get()
    nothing_kept(tmp_path)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_token_is_needed_for_a_run(hub, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="GITHUB_TOKEN .*gh auth login"):
        get()
    assert hub.requests == []


def test_the_token_can_come_from_gh(hub, monkeypatch, tmp_path):
    monkeypatch.delenv("GITHUB_TOKEN")
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$*" = "auth token" ] && echo {TOKEN}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert get().offer.version == "1.0"


def test_a_wrong_token(hub, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "old-token")
    with pytest.raises(UsageError, match="wrong or expired") as caught:
        get()
    assert "old-token" not in str(caught.value)


@pytest.mark.parametrize("run", ["8", "v9.9"])
def test_no_such_run_or_release(hub, tmp_path, run):
    with pytest.raises(ToolError, match=f"has no such .*{run}.*github.com/owner/board/actions"):
        get(run)
    nothing_kept(tmp_path)


def test_no_such_repository(hub):
    with pytest.raises(ToolError, match="owner/other has no such repository or workflow"):
        fetch(BOARD, "latest", "owner/other")


def test_a_private_release_asks_for_a_token(hub, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("PATH", "")
    hub.private = True
    with pytest.raises(ToolError, match="needs a token. See .* Set GITHUB_TOKEN"):
        get("v1.0")


def test_no_successful_run_yet(hub):
    hub.runs.clear()
    with pytest.raises(ToolError, match="no finished, successful run of firmware.yml on main"):
        get()


def test_no_firmware_for_that_board_names_those_there_are(hub):
    hub.add_artifact(7, 71, bundle_name("esp32c3", "1.0"), b"")
    with pytest.raises(ToolError, match="'esp32s3' in run 7 .*Boards there: esp32, esp32c3"):
        get(board="esp32s3")


def test_a_run_that_is_not_finished_says_so(hub):
    hub.add_run(8, status="in_progress", conclusion=None)
    with pytest.raises(ToolError, match=r"not finished \(in_progress\)"):
        get("8")


def test_an_expired_artifact(hub, tmp_path):
    hub.artifacts[7][0]["expired"] = True
    with pytest.raises(ToolError, match="not kept any more.*--run TAG"):
        get()
    hub.artifacts[7][0]["expired"] = False
    hub.answers["/repos/owner/board/actions/artifacts/70/zip"] = [(410, {})]
    with pytest.raises(ToolError, match="not kept any more.*--run TAG"):
        get()
    nothing_kept(tmp_path)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("path", ["", "/actions/artifacts/70/zip"])
def test_the_rate_limit_tells_when_to_come_back(hub, status, path):
    path = "/repos/owner/board" + path
    reset = int(time.time()) + 600
    hub.answers[path] = [(status, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)})]
    clock = time.strftime("%H:%M", time.localtime(reset))
    with pytest.raises(ToolError, match=rf"rate limit.* after {clock} \(in 10 min\)"):
        get()


@pytest.mark.parametrize(
    "headers, sentence",
    [
        ({"retry-after": "120"}, r"\(in 2 min\)"),
        ({"x-ratelimit-reset": "soon"}, "in a few minutes"),
        ({}, "in a few minutes"),
    ],
)
def test_the_rate_limit_in_other_words(hub, headers, sentence):
    hub.answers["/repos/owner/board"] = [(429, headers)]
    with pytest.raises(ToolError, match=sentence):
        get()


def test_a_token_without_the_permission(hub):
    hub.answers["/repos/owner/board/actions/artifacts/70/zip"] = [(403, {})]
    with pytest.raises(UsageError, match="This token may not do that"):
        get()


def test_a_cut_download_goes_on_where_it_stopped(hub):
    length = len(hub.blobs["/artifact/70"])
    hub.cut = [1000, 0, 2000]
    get()
    ranges = [headers.get("Range") for headers in hub.store_requests()]
    assert ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]
    assert length > 3000


def test_a_store_that_knows_no_ranges_sends_all_again(hub):
    hub.cut, hub.ranges = [1000], False
    assert get().offer.version == "1.0"


def test_a_later_run_goes_on_with_what_is_there(hub, tmp_path):
    hub.cut = [3000, 2000, 1000, 500, 200, 100]
    with pytest.raises(ToolError, match="failed 6 times.* Run the same .* 6,800 B"):
        get()
    nothing_kept(tmp_path)
    hub.requests.clear()
    assert get().offer.version == "1.0"
    assert [headers.get("Range") for headers in hub.store_requests()] == ["bytes=6800-"]


@pytest.mark.parametrize("extra", [0, 500])
def test_what_is_left_of_something_else_is_thrown_away(hub, tmp_path, extra):
    data = hub.blobs["/artifact/70"]
    hub.artifacts[7][0]["digest"] = "sha256:" + hashlib.sha256(data).hexdigest()
    hub.cut = [3000] * 6
    with pytest.raises(ToolError):
        get()
    (part,) = (tmp_path / "cache").rglob("*.part")
    part.write_bytes(b"x" * (len(data) + extra if extra else 1000))
    assert get().offer.version == "1.0"


def test_a_store_that_fails_for_a_while_is_asked_again(hub):
    hub.answers["/repos/owner/board"] = [(502, {}), (503, {})]
    hub.answers["/repos/owner/board/actions/artifacts/70/zip"] = [(500, {})]
    assert get().offer.version == "1.0"


def test_a_server_that_stays_broken(hub):
    hub.answers["/repos/owner/board"] = [(500, {})] * 6
    with pytest.raises(ToolError, match="127.0.0.1 cannot be reached: it answers 500"):
        get()


def test_a_server_that_is_not_there(monkeypatch, tmp_path):
    with FakeGitHub() as gone:
        monkeypatch.setenv("GITHUB_API_URL", gone.url)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setattr(github.GitHub.__init__, "__kwdefaults__", {"pause": 0.001})
    with pytest.raises(ToolError, match="127.0.0.1 cannot be reached: .*refused"):
        get()


def test_an_answer_that_is_no_json_object(hub):
    hub.answers["/repos/owner/board"] = [(200, {})]
    with pytest.raises(ToolError, match="no finished, successful run"):
        get()
    hub._send_json = lambda handler, record: hub._send(handler, 200, b"<html>Log in</html>")
    with pytest.raises(ToolError, match="did not answer as GitHub's API does"):
        get()


def test_a_redirect_in_a_circle_ends(hub):
    hub.location = f"{hub.url}/repos/owner/board/actions/artifacts/70/zip"
    with pytest.raises(ToolError, match="in a circle"):
        get()


@pytest.mark.parametrize("location", ["ftp://host/x", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_web_address_is_not_followed(hub, location):
    hub.location = location
    with pytest.raises(ToolError, match="GitHub redirects"):
        get()


def test_a_token_never_travels_in_the_clear(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    for url in ("http://api.example.com", "ftp://127.0.0.1", "api.github.com"):
        monkeypatch.setenv("GITHUB_API_URL", url)
        with pytest.raises(UsageError, match="must be an https"):
            get()


def test_a_damaged_or_evil_bundle_keeps_nothing(hub, tmp_path):
    files = bundle_files("1.0")
    evil = pack(files | {"../../../evil": b"x"})
    wrong = pack(files | {"app.bin": bundle_files("2.0")["app.bin"]})
    for data in (b"no zip", bundle_bytes("1.0")[:-30], evil, wrong):
        hub.blobs["/artifact/70"] = data
        with pytest.raises(BundleError):
            get()
        nothing_kept(tmp_path)
    assert not list(tmp_path.rglob("evil"))


def test_a_failed_download_leaves_the_earlier_build_as_it_was(hub, tmp_path):
    folder = get().folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.blobs["/artifact/70"] = b"no zip"
    with pytest.raises(BundleError):
        get()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_signature_is_checked_before_anything_is_kept(hub, tmp_path):
    def refuse(offer, signature):
        raise ToolError("not signed by us")

    with pytest.raises(ToolError, match="not signed by us"):
        get(check_signature=refuse)
    nothing_kept(tmp_path)


@pytest.mark.parametrize("run", ["", "../x", "a b", "-x", "v1/../../x"])
def test_what_can_be_no_run(hub, run):
    with pytest.raises(UsageError, match="neither latest"):
        get(run)


@pytest.mark.parametrize("board", ["", "../x", "ESP32", "a.b"])
def test_what_can_be_no_board(hub, board):
    with pytest.raises(UsageError, match="no board's name"):
        get(board=board)


def test_a_folder_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="Cannot write .*file"):
        get(output=tmp_path / "file" / "out")


def test_progress_tells_bytes(hub):
    seen = []
    get(progress=lambda *report: seen.append(report))
    size = len(hub.blobs["/artifact/70"])
    assert (f"downloading {NAME}", size, size) in seen
