"""Drives Debian's Chromium, without a window, for tests and pictures of the page."""

import json
import time
from contextlib import contextmanager

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WIDE, PHONE = (1240, 820), (390, 844)
_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-default-browser-check"),
)


class Browser:
    """A browser that looks at the server at `url`."""

    def __init__(self, driver):
        self.driver = driver
        self.url = ""

    @classmethod
    @contextmanager
    def open(cls, profile):
        """Start one, which keeps what it has in the folder `profile`."""
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.page_load_strategy = "eager"
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            browser = cls(driver)
            browser.size(WIDE)
            yield browser
        finally:
            driver.quit()

    def size(self, size, scale=1.0):
        """Be a screen of that width and height, a phone's if it is as narrow as one."""
        width, height = size
        mobile = width < 600
        screen = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def dark(self, dark):
        """Have a reader who likes it dark, or not."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def go(self, path):
        """Open the page at a path of the server."""
        self.driver.get(self.url + path)

    def login(self, name, password):
        """Come in as a user, whoever was there before."""
        self.driver.get("about:blank")  # what the page before still asks for would be refused
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.go("/login")
        self.fill("user", name)
        self.fill("password", password)
        self.press("Log in")
        # Where that leads is loaded by itself: what is opened before would be left again.
        self.wait(lambda: not self.path.startswith("/login"), otherwise=f"{name} is not let in")

    @property
    def path(self):
        """Where the browser is."""
        return self.driver.current_url.removeprefix(self.url)

    def all(self, css):
        """Return the elements there are now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css):
        """Return the text of the first element, as one line; "" if there is none."""
        try:
            return " ".join(self.driver.find_element(By.CSS_SELECTOR, css).text.split())
        except (NoSuchElementException, StaleElementReferenceException):
            return ""

    def run(self, script, *arguments):
        """Return what JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, what, timeout=30.0, otherwise="it did not happen"):
        """Return what `what()` gives as soon as that is true."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if found := what():
                    return found
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            late = time.monotonic() >= deadline
            assert not late, f"{otherwise}; at {self.path} there is:\n{self.text('body')}"
            time.sleep(0.03)

    def see(self, css, text="", timeout=30.0):
        """Wait until the first such element has `text` in it; return all of its text."""
        found = self.wait(
            lambda: self.all(css) and text in self.text(css) and (self.text(css) or " "),
            timeout,
            f"no {text!r} in {css}",
        )
        return found.strip()

    def fill(self, name, text):
        """Write into the field of that name."""
        field = self.driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)

    def fill_files(self, name, paths):
        """Choose files in the field of that name."""
        self.driver.find_element(By.NAME, name).send_keys("\n".join(map(str, paths)))

    def press(self, text, css="button, a"):
        """Click what has that text on it."""
        self.wait(lambda: self._pressed(text, css), otherwise=f"there is no {text!r} to press")

    def _pressed(self, text, css):
        for one in self.all(css):
            if one.is_displayed() and self._says(one, text):
                one.click()
                return True
        return False

    @staticmethod
    def _says(element, text):
        return " ".join(element.text.split()) == text

    def type(self, css, text):
        """Type into what takes the keys there, as a terminal."""
        self.driver.find_element(By.CSS_SELECTOR, css).send_keys(text)

    def complaints(self):
        """Return what the browser has complained of since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked(self):
        """Return the addresses that pages have asked for since the last time."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                found.append(message["params"]["url"].replace("ws://", "http://"))
        return found


ENTER, TAB = Keys.ENTER, Keys.TAB
CTRL_C = Keys.CONTROL + "c"
