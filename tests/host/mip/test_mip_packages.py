"""Tests what packages are found to have, from indexes and repositories that exist only here."""

import hashlib
import http.server
import json
import threading

import pytest

from mqhost.errors import ToolError, UsageError
from mqhost.mip.fetching import Fetcher, NotThere, expand
from mqhost.mip.package import Finder, Wish

INDEX = "https://index.example/pi"
RAW = "https://raw.githubusercontent.com"


class Web:
    """Has files by their addresses; `asked` says which were fetched."""

    def __init__(self, files=()):
        self.files = dict(files)
        self.asked = []

    def fetch(self, address):
        self.asked.append(address)
        if address not in self.files:
            raise NotThere(f"There is nothing at {address}.")
        data = self.files[address]
        return data if isinstance(data, bytes) else json.dumps(data).encode()

    def package(self, name, files, version="latest", kind="6", **more):
        hashes = []
        for path, data in files.items():
            short = hashlib.sha256(data).hexdigest()[:8]
            hashes.append([path, short])
            self.files[f"{INDEX}/file/{short[:2]}/{short}"] = data
        record = {"v": 1, "version": "1.0", "hashes": hashes} | more
        self.files[f"{INDEX}/package/{kind}/{name}/{version}.json"] = record


def found(web, *wishes, mpy=6):
    return Finder(web, INDEX + "/", mpy).find([Wish.parse(wish) for wish in wishes])


def test_a_package_of_the_index_with_all_that_it_needs():
    web = Web()
    web.package("a", {"a/__init__.mpy": b"A"}, deps=[["b", "latest"], ["c", "2.0"]])
    web.package("b", {"b.mpy": b"B"}, deps=[["a", "latest"]])  # a circle
    web.package("c", {"c.mpy": b"C"}, version="2.0")
    bundle = found(web, "a")
    assert bundle.files == {"a/__init__.mpy": b"A", "b.mpy": b"B", "c.mpy": b"C"}
    assert bundle.versions == {"a": "1.0", "b": "1.0", "c": "1.0"}


def test_a_version_and_source_instead_of_mpy():
    web = Web()
    web.package("a", {"a.py": b"A"}, version="0.6.1", kind="py")
    assert found(web, "a@0.6.1", mpy=0).files == {"a.py": b"A"}


def test_a_repository_with_relative_and_foreign_addresses():
    record = {
        "urls": [
            ["d/x.py", "src/x.py"],
            ["d/y.py", "github:other/repo/y.py"],
            ["z.py", "https://web.example/z.py"],
        ],
        "deps": [["github:third/one", "v9"]],
        "version": "3",
    }
    web = Web(
        {
            f"{RAW}/o/n/v1/drivers/package.json": record,
            f"{RAW}/o/n/v1/drivers/src/x.py": b"x",
            f"{RAW}/other/repo/v1/y.py": b"y",
            "https://web.example/z.py": b"z",
            f"{RAW}/third/one/v9/package.json": {"urls": []},
        }
    )
    bundle = found(web, "github:o/n/drivers@v1")
    assert bundle.files == {"d/x.py": b"x", "d/y.py": b"y", "z.py": b"z"}
    assert bundle.versions == {"github:o/n/drivers": "3", "github:third/one": "v9"}


OUTSIDE = ("../../../../x.py", "../../../x.py/../../y.py", "//web.example/x.py", "/etc/hosts")


def test_an_index_on_the_web_has_relative_addresses_in_itself():
    web = Web({f"{INDEX}/package/6/a/src/x.py": b"x", f"{INDEX}/more/y.py": b"y"})
    web.package("a", {}, urls=[["x.py", "src/x.py"], ["y.py", "../../../more/y.py"]])
    assert found(web, "a").files == {"x.py": b"x", "y.py": b"y"}
    for url in OUTSIDE:
        web.package("a", {}, urls=[["x.py", url]])
        with pytest.raises(ToolError, match=f"names {url}, which is outside of the index"):
            found(web, "a")


@pytest.mark.parametrize("index", ["index", "./index/", "index/../index"])
def test_an_index_in_a_folder_has_relative_addresses_in_itself(tmp_path, monkeypatch, index):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "index/package/6/a/latest.json"
    package.parent.mkdir(parents=True)
    (package.parent / "x.py").write_bytes(b"x")
    (tmp_path / "index/y.py").write_bytes(b"y")
    (tmp_path / "y.py").write_bytes(b"not ours")

    def find():
        with Fetcher() as fetcher:
            return Finder(fetcher, index, 6).find([Wish("a")])

    urls = [["x.py", "x.py"], ["y.py", "../../../y.py"]]
    package.write_text(json.dumps({"urls": urls}))
    assert find().files == {"x.py": b"x", "y.py": b"y"}
    for url in OUTSIDE:
        package.write_text(json.dumps({"urls": [["x.py", url]]}))
        with pytest.raises(ToolError, match=f"names {url}, which is outside of the index"):
            find()
    package.write_text(json.dumps({"urls": [["x.py", "none.py"]]}))
    with pytest.raises(ToolError, match="names a file that is missing"):
        find()


def test_a_folder_that_is_missing_is_no_missing_package(tmp_path):
    with Fetcher() as fetcher:
        finder = Finder(fetcher, str(tmp_path / "none"), 6)
        with pytest.raises(UsageError, match="none is no folder here"):
            finder.find([Wish("a")])


def test_one_file_and_a_package_json_by_their_addresses():
    web = Web(
        {
            f"{RAW}/o/n/HEAD/lib/one.py": b"1",
            "https://web.example/p/package.json": {"urls": [["q.mpy", "q.mpy"]]},
            "https://web.example/p/q.mpy": b"q",
            "https://gitlab.com/o/n/-/raw/HEAD/package.json": {"urls": []},
        }
    )
    assert found(web, "github:o/n/lib/one.py").files == {"one.py": b"1"}
    assert found(web, "https://web.example/p/package.json").files == {"q.mpy": b"q"}
    assert found(web, "https://web.example/p/").files == {"q.mpy": b"q"}
    assert found(web, "gitlab:o/n").files == {}


def test_what_is_missing_is_named_with_who_needs_it():
    web = Web()
    web.package("a", {}, deps=[["b", "latest"]])
    with pytest.raises(ToolError, match="no package b, which a needs"):
        found(web, "a")
    with pytest.raises(ToolError, match="no package nix@3. There is nothing at .*/nix/3.json"):
        found(web, "nix@3")
    web.package("c", {"c.mpy": b"C"})
    del web.files[
        f"{INDEX}/file/{hashlib.sha256(b'C').hexdigest()[:2]}/"
        + (hashlib.sha256(b"C").hexdigest()[:8])
    ]
    with pytest.raises(ToolError, match="names a file that is missing"):
        found(web, "c")


@pytest.mark.parametrize("target", ["../x.py", "/x.py", "a//x.py", "", "a/./b", "a/..", "x\0.py"])
def test_no_file_lands_outside_of_the_folder(target):
    web = Web()
    web.package("a", {target: b"A"})
    with pytest.raises(ToolError, match="outside of the folder"):
        found(web, "a")


def test_other_bytes_than_the_index_says_are_not_taken():
    web = Web()
    web.package("a", {"a.mpy": b"A"})
    (place,) = [address for address in web.files if "/file/" in address]
    web.files[place] = b"B"
    with pytest.raises(ToolError, match="its SHA-256 is another"):
        found(web, "a")
    web.files[f"{INDEX}/package/6/a/latest.json"] = {"hashes": [["a.mpy", ""]]}
    web.files[f"{INDEX}/file//"] = b"B"
    with pytest.raises(ToolError, match="its SHA-256 is another"):
        found(web, "a")


def test_two_packages_with_one_file_are_told():
    web = Web()
    web.package("a", {"x.mpy": b"A"})
    web.package("b", {"x.mpy": b"B"})
    with pytest.raises(ToolError, match="different files x.mpy"):
        found(web, "a", "b")


@pytest.mark.parametrize(
    "record", [b"no JSON", [], 5, {"hashes": 5}, {"urls": [["a"]]}, {"deps": [["a", 5]]}]
)
def test_what_is_no_package_is_told(record):
    web = Web({f"{INDEX}/package/6/a/latest.json": record})
    with pytest.raises(ToolError, match="is no"):
        found(web, "a")


def test_a_chain_of_needs_has_an_end():
    class Endless(Web):
        def fetch(self, address):
            number = int(address.split("/")[-2].removeprefix("p"))
            return json.dumps({"deps": [[f"p{number + 1}", "latest"]]}).encode()

    with pytest.raises(ToolError, match="more than 100 packages"):
        found(Endless(), "p1")


@pytest.mark.parametrize(
    "text", ["", "a b", "../a", "a@", "@1", "a@1 2", "github:o", "github:/n", "https://h/p@v1"]
)
def test_what_cannot_be_asked_for(text):
    if text == "a@":
        assert Wish.parse(text) == Wish("a")
        return
    with pytest.raises(UsageError):
        Wish.parse(text)


def test_addresses_of_forges():
    assert expand("github:o/n/a/b.py", "v1") == f"{RAW}/o/n/v1/a/b.py"
    assert expand("github:o/n") == f"{RAW}/o/n/HEAD"
    assert expand("https://web.example/x") == "https://web.example/x"


@pytest.fixture
def server(tmp_path):
    """Serve a folder over HTTP on loopback; give (address, folder)."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path == "/broken":
                self.send_error(500)
            else:
                super().do_GET()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}", tmp_path
        http_server.shutdown()
        thread.join()


def test_bytes_come_from_the_web_and_from_folders(server):
    address, folder = server
    (folder / "a.py").write_bytes(b"a")
    (folder / "large").write_bytes(bytes((4 << 20) + 1))
    with Fetcher() as fetcher:
        assert fetcher.fetch(f"{address}/a.py") == fetcher.fetch(str(folder / "a.py")) == b"a"
        for missing in (f"{address}/nix", str(folder / "nix"), str(folder / "a.py/nix")):
            with pytest.raises(NotThere):
                fetcher.fetch(missing)
        with pytest.raises(ToolError, match="status 500"):
            fetcher.fetch(f"{address}/broken")
        with pytest.raises(ToolError, match="no board takes it"):
            fetcher.fetch(f"{address}/large")
        with pytest.raises(ToolError, match="cannot be read"):
            fetcher.fetch(str(folder))
    with Fetcher() as fetcher, pytest.raises(ToolError, match="cannot be fetched"):
        fetcher.fetch("http://127.0.0.1:1/x")
