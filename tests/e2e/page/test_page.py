"""Looks at the page of a fleet in a real browser: a real broker, a simulated board, three users."""

import time

import httpx
import pytest
from serving import Served
from waiting import wait_until

from ci.browser import CTRL_C, ENTER, PHONE, TAB, WIDE, Browser
from ci.voices import Voices
from mqhost.fleet.page import vendored
from mqhost.fleet.server.groups import Groups
from mqhost.fleet.store.history import Sample
from mqhost.signing.offer import load_image

PASSWORD = "correct horse"
SECRET = "simpassword"  # of the network of simulated boards
LOG = "__import__('mqboard.log').log.Logger('pump').info('%s')"
_HARMLESS = "Autofocus processing was blocked"  # somebody typed before the page was through
USERS = {"lena": "look", "otto": "operate", "uma": "update"}


@pytest.fixture(scope="module")
def served(broker, tmp_path_factory):
    """Give a server with users."""
    vendored.ensure()
    groups = Groups(lambda: {"rolled": ("rolled/+",), "sheds": ("page/tank", "shed/#")})
    with Served(broker, tmp_path_factory.mktemp("fleet") / "fleet.db", groups=groups) as running:
        for name, role in USERS.items():
            running.fleet.users.add(name, role, PASSWORD)
        yield running


@pytest.fixture(scope="module")
def _browser(served, tmp_path_factory):
    with Browser.open(tmp_path_factory.mktemp("profile")) as opened:
        opened.url = served.url
        yield opened


@pytest.fixture
def browser(_browser):
    """Give a browser; at the end it has complained of nothing, and asked nobody but the server."""
    _browser.size(WIDE)
    _browser.expected = []
    yield _browser
    expected = (*_browser.expected, _HARMLESS)
    left = [one for one in _browser.complaints() if not any(word in one for word in expected)]
    assert not left
    elsewhere = {url for url in _browser.asked() if not url.startswith(_browser.url)}
    assert not {url for url in elsewhere if url.startswith(("http", "ws"))}


@pytest.fixture(scope="module")
def one(make_shared_board, served):
    """Give a board, confirmed, that the server knows."""
    board = make_shared_board()
    board.wait_confirmed()
    served.board(board.prefix)
    return board


@pytest.fixture(scope="module")
def voices(broker):
    """Give what speaks for boards of which nothing but the status is needed."""
    with Voices(broker) as speaking:
        yield speaking


@pytest.fixture(scope="module")
def farm(voices, served):
    """Have three boards that only say how they are."""
    voices.say("page/pump", version="0.5.10", rssi=-50, crashes=2)
    voices.say("page/gate", version="0.5.9", rssi=-83)
    voices.say(
        "page/tank", version="0.5.9", state="offline", reason="connection lost", board="esp32c3"
    )
    for name in ("pump", "gate", "tank"):
        served.board(f"page/{name}")


@pytest.fixture
def uma(browser):
    """Have somebody logged in who may do everything."""
    browser.login("uma", PASSWORD)
    browser.see("h1", "Boards")
    return browser


def names(browser):
    """Return the boards in the list, in its order."""
    return browser.run(
        "return [...document.querySelectorAll('#rows > tr')].map(row => row.dataset.prefix)"
        ".filter(name => name.startsWith('page/')).map(name => name.slice(5))"
    )


def test_a_wrong_password_stays_out_and_the_right_one_comes_to_where_it_wanted(browser, one):
    browser.expected = ["401"]
    browser.driver.delete_all_cookies()
    browser.go(f"/board?prefix={one.prefix}&tab=files")
    assert browser.path.startswith("/login?next=")
    browser.fill("user", "uma")
    browser.fill("password", "wrong")
    browser.press("Log in")
    browser.see("[role=alert]", "That is not the name and the password")
    browser.go("/")
    assert browser.path.startswith("/login")
    browser.go(f"/board?prefix={one.prefix}&tab=files")
    browser.fill("user", "uma")
    browser.fill("password", PASSWORD)
    browser.press("Log in")
    browser.see("h1", one.prefix)
    assert browser.path.endswith("tab=files")
    browser.press("Log out")
    browser.see("button", "Log in")
    browser.go("/")
    assert browser.path.startswith("/login")


def test_the_list_is_searched_narrowed_and_sorted(uma, farm):
    uma.go("/")
    uma.fill("q", "page/")
    uma.wait(lambda: names(uma) == ["gate", "pump", "tank"])
    uma.wait(lambda: "q=page" in uma.path)  # so it can be sent to somebody
    uma.press("Version")
    uma.wait(lambda: names(uma) == ["gate", "tank", "pump"])
    uma.press("Version")
    uma.wait(lambda: names(uma) == ["pump", "gate", "tank"])
    uma.fill("where", "version<0.5.10 and board==esp32")
    uma.wait(lambda: names(uma) == ["gate"])
    uma.fill("where", "bord==esp32")
    uma.see("[role=alert]", "Did you mean board")
    uma.fill("where", " ")
    uma.wait(lambda: len(names(uma)) == 3)
    row = uma.text("#rows > tr[data-prefix='page/pump']")
    assert "esp32" in row and "−50" in row and "crashes to look at: 2" in row
    uma.run("document.querySelector('select[name=group]').value = 'sheds'")
    uma.press("Choose")
    uma.wait(lambda: names(uma) == ["tank"])
    uma.run("document.querySelector('select[name=group]').value = ''")
    uma.press("Choose")
    uma.wait(lambda: len(names(uma)) == 3)
    uma.press("1 offline")
    uma.wait(lambda: names(uma) == ["tank"])
    uma.driver.back()
    uma.wait(lambda: len(names(uma)) == 3)


def test_the_list_lives(uma, farm, voices):
    uma.go("/?q=page/")
    uma.see("#broker", "live")
    uma.see(".chips", "3 boards")
    uma.see("html[data-following*='q=page']")
    voices.say("page/gate", version="0.6.0", mode="safe")
    uma.see("#rows > tr[data-prefix='page/gate']", "0.6.0")
    uma.see(".chips", "1 in safe mode")
    voices.say("page/well", version="0.6.0")
    uma.wait(lambda: names(uma) == ["gate", "pump", "tank", "well"])
    voices.forget("page/well")
    uma.wait(lambda: names(uma) == ["gate", "pump", "tank"])
    voices.say("page/gate", version="0.5.9", rssi=-83)
    uma.see("#rows > tr[data-prefix='page/gate']", "0.5.9")


def test_a_board_shows_its_facts_files_and_configuration(uma, one):
    uma.go(f"/board?prefix={one.prefix}")
    uma.see("#facts", "Free heap")
    assert "ota_0" in uma.text("#facts")
    uma.press("Files")
    uma.see("#files", "config.json")
    uma.press("Configuration")
    uma.see("#config", "broker.host")
    uma.press("Crashes")
    uma.see("#crashes", "No boot of this board has ended badly.")


def written(browser, text):
    """Have the editor contain `text`."""
    browser.run("document.querySelector('#edit textarea').value = arguments[0]", text)


def test_a_file_is_written_edited_and_deleted_in_the_page(uma, one, tmp_path):
    uma.go(f"/board?prefix={one.prefix}&tab=files")
    uma.see("#files", "config.json")
    uma.run("document.querySelector('#files form[hx-get] input[name=path]').value = '/p.py'")
    uma.press("Write it")
    uma.see("#files .badge", "new")
    written(uma, "\nprint('<b>1</b>')\n")
    uma.press("Save")
    uma.see("#edit [role=status]", "Saved.")
    uma.press("/", ".crumbs a")
    uma.press("p.py")
    uma.wait(lambda: uma.all("#edit textarea"))
    text = "return document.querySelector('#edit textarea').value"
    assert uma.run(text) == "\nprint('<b>1</b>')\n"
    one.eval("with open('/p.py', 'wb') as file: file.write('theirs\\r\\n')")
    written(uma, "mine")
    uma.press("Save")
    uma.see("#edit .note.bad", "was changed on the board since you saw it")
    uma.press("/", ".crumbs a")
    uma.see("dialog[open]", "What you wrote is not saved")
    uma.press("No")
    assert uma.run(text) == "mine"
    uma.press("/", ".crumbs a")
    uma.press("Yes")
    uma.press("p.py")
    uma.wait(lambda: uma.all("#edit[data-newline=crlf]"))
    assert "file=%2Fp.py" in uma.path  # which can be sent to somebody
    written(uma, "ours\n")
    uma.press("Save")
    uma.see("#edit [role=status]", "Saved.")
    assert one.eval("open('/p.py', 'rb').read()") == r"b'ours\r\n'"
    uma.press("Delete this file")
    uma.see("dialog[open]", f"Delete /p.py of {one.prefix}?")
    uma.press("Yes")
    uma.see("#bring")
    uma.wait(lambda: "p.py" not in uma.text("#files table"))


def test_files_are_brought_into_a_folder_and_it_is_deleted(uma, one, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "large").write_bytes(bytes(1_100_000))
    uma.go(f"/board?prefix={one.prefix}&tab=files")
    uma.see("#bring")
    uma.run("document.querySelector('form[data-api*=folder] input').value = '/up'")
    uma.press("Make it")
    uma.press("up/")
    uma.see("#files", "This folder is empty.")
    uma.fill_files("files", [tmp_path / "a.txt"])
    uma.press("Upload")
    uma.see("#files table", "a.txt")
    uma.fill_files("files", [tmp_path / "a.txt", tmp_path / "large"])
    uma.press("Upload")
    uma.see("dialog[open]", "a.txt is there already. Replace it?")
    uma.press("Yes")
    uma.see("#bring .note.bad", "large has 1,100,000 B")
    uma.press("Delete this folder")
    uma.see("dialog[open]", "with all that is in it")
    uma.press("Yes")
    uma.see("#files table", "config.json")
    assert "'up'" not in one.eval("__import__('os').listdir('/')")


def test_the_configuration_is_no_file_that_a_page_shows(uma, one):
    uma.go(f"/board?prefix={one.prefix}&tab=files&file=/config.json")
    uma.see("#files .note", "secrets masked")
    assert SECRET not in uma.run("return document.documentElement.outerHTML")
    assert not uma.all("#edit, #files button")


def test_a_board_that_is_away_shows_the_crashes_it_told_before(uma, voices, served, broker):
    voices.say("page/shed")
    served.board("page/shed")
    voices.crash("page/shed", number=1, kind="exception", traceback="OSError: the shed", log="bang")
    wait_until(lambda: served.fleet.kept_crashes("page/shed"))
    voices.say("page/shed", state="offline", reason="connection lost")
    wait_until(lambda: not served.fleet.live.get("page/shed").online)
    uma.go("/board?prefix=page/shed&tab=crashes")
    uma.see("#crashes", "is offline")
    assert "OSError: the shed" in uma.text("#crashes")
    voices.forget("page/shed")


def test_charts_show_what_was_heard_of_a_board(uma, one, served):
    now = time.time()
    served.fleet.history.add(Sample(one.prefix, now - 60 * n, 90_000 + n, -60, 0) for n in range(9))
    uma.go(f"/board?prefix={one.prefix}")
    uma.see("#charts", "KB")
    uma.wait(lambda: len(uma.all("#charts canvas")) == 3)
    assert "dBm" in uma.text("#charts")


def test_a_key_is_changed_and_the_secret_is_not_shown(uma, one):
    uma.go(f"/board?prefix={one.prefix}&tab=config")
    uma.see("#config", "kept secret")
    assert SECRET not in uma.run("return document.documentElement.outerHTML")
    uma.fill("key", "log.level")
    uma.fill("value", "debug")
    uma.press("Try it")
    uma.see("#jobs", "It runs the new configuration", timeout=60)
    uma.see("#config", "debug")
    uma.fill("key", "log.level")
    uma.fill("value", "shout")
    uma.press("Try it")
    uma.see("#jobs .badge.bad", "failed", timeout=60)
    uma.fill("key", "lock.level")
    uma.press("Try it")
    uma.see("form .note.bad", "lock is not known")
    uma.expected = ["400"]


def test_a_restart_shows_how_far_it_is(uma, one):
    uma.go(f"/board?prefix={one.prefix}")
    uma.see("#facts", "Free heap")
    uma.press("Restart")
    uma.see("dialog[open]", f"Restart {one.prefix}?")
    uma.press("Yes")
    uma.see("#jobs", "It is back in normal mode", timeout=60)
    uma.press("History")
    uma.see("tbody", "restart")
    uma.go("/audit")
    uma.see("tbody", "It is back in normal mode")


def test_who_may_look_sees_no_button_and_may_do_nothing(browser, one, served):
    browser.login("lena", PASSWORD)
    browser.go(f"/board?prefix={one.prefix}")
    browser.see("#facts", "Free heap")
    shown = {button.text for button in browser.all("main button, main .tabs a")}
    assert shown == {"Overview", "Files", "Configuration", "Crashes", "History", "Clear"}
    browser.go(f"/board?prefix={one.prefix}&tab=config")
    browser.see("#config", "broker.host")
    assert not browser.all("main button")
    browser.go(f"/board?prefix={one.prefix}&tab=files")
    browser.press("config.json")
    browser.see("#files .note", "secrets masked")
    assert not browser.all("main button, main textarea, main a.button")
    browser.go(f"/board?prefix={one.prefix}&tab=update")
    browser.see("#facts")  # there is no such side for her
    browser.go("/rollouts")
    assert not browser.all("main button")
    browser.expected = ["403"]
    status = browser.driver.execute_async_script(
        "const [path, done] = arguments;"
        "import('/static/page.js').then(({token}) => fetch(path, {method: 'POST', body: '{}',"
        " headers: {...token(), 'Content-Type': 'application/json'}}))"
        ".then(answer => done(answer.status))",
        f"/api/board/reset?prefix={one.prefix}",
    )
    assert status == 403


def test_a_page_of_somebody_else_changes_nothing(served, one):
    client = served.login("uma", PASSWORD)
    answer = client.post(
        f"/api/board/reset?prefix={one.prefix}", json={}, headers={"origin": "http://evil.test"}
    )
    assert answer.status_code == 403
    answer = client.get("/", headers={"accept": "text/html"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    client.close()


def test_nothing_is_wider_than_a_phone(uma, one, farm):
    uma.size(PHONE)
    board = f"/board?prefix={one.prefix}"
    pages = ["/", "/rollouts", "/audit", board]
    pages += [f"{board}&tab={tab}" for tab in ("files", "config", "crashes", "update", "history")]
    for path in pages:
        uma.go(path)
        uma.wait(lambda: not uma.all(".waiting"))
        width = uma.run("return document.documentElement.scrollWidth")
        assert width <= PHONE[0], path


def test_the_files_of_the_page_are_kept_by_the_browser_and_need_no_login(served):
    page = httpx.get(f"{served.url}/login").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = httpx.get(served.url + address)
    assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert httpx.get(f"{served.url}/static/../routes.py").status_code == 404


def test_what_a_board_says_is_text_and_nothing_else(uma, voices, served):
    evil = "<img src=x onerror=alert(1)>"
    voices.say("page/evil", version=evil, board=evil, crashes=1, storage=evil, mode=evil)
    served.board("page/evil")
    uma.go("/?q=page/evil")
    wait_until(lambda: evil in uma.text("#rows"))
    uma.go("/board?prefix=page/evil")
    assert evil in uma.text("#facts")
    assert not uma.all("main img")
    uma.go("/")  # a page that asks for it once it is gone complains
    voices.forget("page/evil")


def test_the_log_follows(uma, one):
    uma.go(f"/board?prefix={one.prefix}")
    uma.see("#log-state", "following")
    one.eval(LOG % "the pump turns")
    uma.see("#log", "the pump turns")
    one.eval(LOG % "<b>again</b>")
    uma.see("#log", "<b>again</b>")
    assert not uma.all("#log b")


def prompt_says(browser, text):
    """Wait until the prompt shows `text` and is ready for more."""
    browser.wait(lambda: text in shown(browser), otherwise=f"no {text!r} at the prompt")
    browser.see("#console-state", "ready")


def shown(browser):
    return browser.run(
        "return [...document.querySelectorAll('.xterm-rows > div')].map(row =>"
        " row.textContent.replaceAll('\\u00a0', ' ').trimEnd()).join('\\n')"
    )


def test_the_prompt_answers(uma, one):
    uma.go(f"/board?prefix={one.prefix}&tab=console")
    prompt_says(uma, ">>>")
    keys = ".xterm-helper-textarea"
    uma.type(keys, "45+876" + ENTER)
    prompt_says(uma, "\n921\n")
    uma.type(keys, "for n in range(3):" + ENTER)
    prompt_says(uma, "\n...")
    uma.type(keys, "print('row', n)" + ENTER + ENTER)
    prompt_says(uma, "row 2")
    uma.type(keys, "import machine" + ENTER)
    uma.type(keys, "machine.uniq" + TAB)
    prompt_says(uma, ">>> machine.unique_id")
    uma.type(keys, "()" + ENTER)
    prompt_says(uma, "\nb'")
    uma.type(keys, "while True: pass" + ENTER)
    uma.wait(lambda: shown(uma).rstrip().endswith("..."))  # a line is looked at while it runs, too
    uma.type(keys, ENTER)
    uma.see("#console-state", "running")
    uma.type(keys, CTRL_C)
    prompt_says(uma, "KeyboardInterrupt")
    uma.type(keys, "1/0" + ENTER)
    prompt_says(uma, "ZeroDivisionError")


def test_an_update_runs_until_it_is_confirmed(uma, one, variant):
    image = variant("8.0")
    uma.go(f"/board?prefix={one.prefix}&tab=update")
    files = [image.folder / name for name in ("app.bin", "image.json", "image.sig")]
    uma.fill_files("files", [file for file in files if file.exists()])
    uma.press("Bring it")
    uma.see("select[name=image]", "8.0")
    uma.press("Update", "main form button")
    uma.see("#jobs progress")
    uma.see("#jobs", "It runs 8.0, confirmed", timeout=90)
    uma.see("#head", "sim 8.0")


def test_an_application_is_deployed(uma, one, tmp_path):
    folder = tmp_path / "pumps"
    folder.mkdir()
    (folder / "main.py").write_text("print('pumping')\n")
    one.mqboard("deploy", folder, "--pack", tmp_path / "pumps.zip")
    uma.go(f"/board?prefix={one.prefix}&tab=update")
    uma.fill_files("package", [tmp_path / "pumps.zip"])
    uma.press("Deploy")
    uma.see("#jobs", "confirmed, after", timeout=90)


def test_a_rollout_moves(uma, make_shared_board, variant, served):
    other = make_shared_board(prefix="rolled/one")
    other.wait_confirmed()
    served.board(other.prefix)
    image = variant("8.0")
    served.store.add_image(*load_image(image.app))
    uma.go("/rollouts")
    uma.see("#begin", "8.0")
    uma.run("document.querySelector(`#begin label:has(b)`).click()")
    uma.run("document.querySelector('#begin select[name=group]').value = 'rolled'")
    uma.press("How it goes", "summary")
    uma.fill("settle", "1s")
    uma.press("Begin")
    uma.see("dialog[open]", "1 board in 1 wave (1)")
    uma.press("Yes")
    uma.see("h1", "Rollout")
    uma.see(".squares i.sending, .squares i.settling, .squares i.done", timeout=60)
    uma.press("Pause")
    uma.see("#rollout-state", "paused")
    uma.press("Resume")
    uma.see("#rollout-state", "finished", timeout=90)
    assert len(uma.all(".squares i.done")) == 1
    uma.see("#rollout .legend", "1 done")
    uma.go("/rollouts")
    uma.see("tbody", "finished")
