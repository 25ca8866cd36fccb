"""Measures how long somebody waits for the page of a fleet, in a real browser."""

from ci.bench import Figure, median
from ci.bench.rig import Rig
from ci.browser import Browser
from ci.serving import serving
from ci.voices import Voices
from mqhost import packages
from mqhost.sim.broker import Broker

_BOARDS = 1000
# Notes when the first boards of the list are on the screen: the frame behind the one that has them.
_NOTE = """(() => {
  const look = () => {
    const row = document.querySelector("#rows > tr");
    if (!row || row.getBoundingClientRect().top > innerHeight) requestAnimationFrame(look);
    else requestAnimationFrame(() => { window.seen = performance.now(); });
  };
  requestAnimationFrame(look);
})();"""


def measure(rig: Rig) -> dict[str, Figure]:
    """page_s: from the moment that a browser with an empty cache is told the address of a server
    with 1,000 boards, until it shows the first of them.
    """
    runs = 3 if rig.quick else 10
    packages.ensure("broker", "page", say=lambda line: rig.progress(line, 0, 0))
    rig.progress(f"the page of {_BOARDS:,} boards", 0, 0)
    with Broker() as broker, Voices(broker) as voices:
        voices.farm(_BOARDS)
        with serving(broker, rig.folder) as url, Browser.open(rig.folder / "profile") as browser:
            browser.url = url
            browser.driver.execute_cdp_cmd(
                "Page.addScriptToEvaluateOnNewDocument", {"source": _NOTE}
            )
            seconds = [_seconds(browser) for _ in range(runs + 1)][1:]  # the first starts it up
    return {"page_s": Figure(median(seconds), "s", runs, aim=1.5)}


def _seconds(browser: Browser) -> float:
    browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    browser.go("/")
    seen = browser.wait(lambda: browser.run("return window.seen"), 60, "no board is shown")
    rows = len(browser.all("#rows > tr"))
    assert rows == _BOARDS, f"{rows} boards are shown"
    return float(seen) / 1000
