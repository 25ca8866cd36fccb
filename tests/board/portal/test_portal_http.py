"""Tests the setup page's HTTP, form and names against what anybody may send."""

import unittest

from fakes import run

from mqboard.portal import form, http, names

HEAD = b"POST / HTTP/1.1\r\nHost: 192.168.4.1\r\n"
TYPE = b"Content-Type: application/x-www-form-urlencoded\r\n"


class Reader:
    """A stream that gives what it has in pieces of `step` bytes."""

    def __init__(self, data, step=7):
        self.data = data
        self.step = step

    async def read(self, size):
        piece, self.data = self.data[: min(size, self.step)], self.data[min(size, self.step) :]
        return piece


def read(data, step=7):
    return run(http.read_request(Reader(data, step)))


def post(body, more=b"", length=None):
    length = len(body) if length is None else length
    return HEAD + TYPE + b"Content-Length: %d\r\n" % length + more + b"\r\n" + body


class HttpTest(unittest.TestCase):
    def status(self, data, step=7):
        try:
            read(data, step)
        except http.HttpError as error:
            return error.status
        return None

    def test_a_form_is_read_whatever_the_pieces(self):
        for step in (1, 7, 100, 10000):
            request = read(post(b"ssid=a&wifi=b"), step)
            self.assertEqual((request.method, request.path), (b"POST", b"/"))
            self.assertEqual(request.body, b"ssid=a&wifi=b")
            self.assertTrue(request.from_us())

    def test_what_is_no_request_is_refused(self):
        for data, status in (
            (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET / SPDY/3\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n", 400),  # and no more
            (b"GET / HTTP/1.1\r\n" + b"X: %s\r\n" % (b"y" * 3000) + b"\r\n", 431),
            (b"G" * 100000, 431),
            (HEAD + TYPE + b"\r\n", 411),
            (HEAD + TYPE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            (post(b"a=b", b"Transfer-Encoding: chunked\r\n"), 411),
            (post(b"", length=7000), 413),
            (HEAD + TYPE + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
            (HEAD + TYPE + b"Content-Length: -1\r\n\r\n", 400),
            (HEAD + TYPE + b"Content-Length: 1_0\r\n\r\n", 400),
            (HEAD + b"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na=b", 415),
            (post(b"a=b", length=10), 400),  # it ends too soon
        ):
            for step in (5, 5000):
                self.assertEqual(self.status(data, step), status, data[:60])

    def test_no_part_of_a_request_is_one(self):
        whole = post(b"ssid=name&wifi=12345678")
        for size in range(1, len(whole)):
            self.assertEqual(self.status(whole[:size], 1000), 400)
        with self.assertRaises(EOFError):
            read(b"")

    def test_a_form_of_another_page_is_known(self):
        for origin, ours in (
            (b"http://192.168.4.1", True),
            (b"http://192.168.4.1:80", False),
            (b"https://192.168.4.1", False),
            (b"http://evil.example", False),
            (b"null", False),
            (b"", False),
        ):
            request = read(post(b"", b"Origin: " + origin + b"\r\n"))
            self.assertEqual(request.from_us(), ours, origin)

    def test_an_answer_is_not_kept_nor_framed(self):
        answer = http.answer(200, "é")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"))
        for line in (b"Content-Length: 2\r\n", b"no-store", b"frame-ancestors 'none'"):
            self.assertTrue(line in answer)
        self.assertTrue(b"Location: http://x/\r\n" in http.answer(302, location="http://x/"))


class FormTest(unittest.TestCase):
    def test_fields_are_decoded(self):
        fields = form.read_form(b"ssid=caf%C3%A9+1&wifi=a%26b%3Dc&other=x&&prefix=+a%2fb+")
        self.assertEqual((fields["ssid"], fields["wifi"]), ("café 1", "a&b=c"))
        self.assertEqual((fields["prefix"], fields["host"], "other" in fields), ("a/b", "", False))

    def test_what_is_no_form_is_refused(self):
        for body in (
            b"ssid=%",
            b"ssid=%4",
            b"ssid=%zz",
            b"ssid=%+1",
            b"ssid=%-1",
            b"ssid=%ff%fe",
            b"ssid=\xff",
            b"ssid=a%00b",
            b"ssid=a&ssid=b",
            b"&".join([b"f%d=1" % number for number in range(40)]),
        ):
            with self.assertRaises(form.FormError):
                form.read_form(body)

    def fill(self, base, **given):
        fields = form.read_form(b"")
        fields.update(given)
        return form.configure(base, fields)

    def test_a_configuration_is_made_of_it(self):
        one = self.fill({"setup": {}}, ssid="n", wifi="p" * 8, host="h", port="1884", prefix="a/b")
        self.assertEqual(one["networks"], [{"ssid": "n", "password": "p" * 8}])
        self.assertEqual(one["broker"], {"host": "h", "tls": False, "port": 1884})
        self.assertEqual((one["prefix"], one["setup"]), ("a/b", {}))

    def test_what_is_left_empty_stays(self):
        base = {"prefix": "p", "broker": {"host": "h"}, "networks": [{"ssid": "a"}, {"ssid": "b"}]}
        one = self.fill(base, ssid="b", wifi="12345678")
        self.assertEqual([each["ssid"] for each in one["networks"]], ["b", "a"])
        self.assertEqual((one["prefix"], one["broker"]), ("p", {"host": "h"}))
        self.assertEqual(base["networks"][0], {"ssid": "a"})
        self.assertEqual(self.fill(base), base)

    def test_another_broker_gets_no_password_of_the_first(self):
        base = {"broker": {"host": "h", "user": "u", "password": "secret", "key": "k"}}
        one = self.fill(base, host="evil", tls="on", ca="-----BEGIN CERTIFICATE-----\r\nx")
        ca = "-----BEGIN CERTIFICATE-----\nx\n"
        self.assertEqual(one["broker"], {"host": "evil", "tls": True, "ca": ca})

    def test_what_cannot_be_is_told(self):
        for given in ({"port": "x"}, {"port": "1e9"}, {"ca": "/certs/ca.pem"}):
            with self.assertRaises(form.FormError):
                self.fill({}, host="h", **given)

    def test_the_page_shows_no_password_and_runs_no_code(self):
        nasty = '"><script>alert(1)</script>'
        fields = form.read_form(b"")
        fields.update(ssid=nasty, wifi="hidden-1", password="hidden-2", host=nasty, prefix="&amp;")
        page = form.page("mqboard-1", fields, nasty)
        self.assertFalse("<script" in page or "hidden" in page)
        self.assertTrue("&amp;amp;" in page and "&lt;script&gt;" in page)
        self.assertTrue("100%" in page)


class NamesTest(unittest.TestCase):
    def test_who_is_near_is_in_the_subnet(self):
        for peer, near in (
            (("192.168.4.2", 50000), True),
            (("192.168.4.254", 1), True),
            (("192.168.5.2", 50000), False),
            (("10.0.0.2", 50000), False),
            (b"\2\0\x12\x34\xc0\xa8\4\2" + b"\0" * 8, True),  # of the unix port
            (b"\2\0\x12\x34\x0a\0\0\2" + b"\0" * 8, False),
        ):
            self.assertEqual(names.is_near(peer, "192.168.4.1", "255.255.255.0"), near, peer)

    QUESTION = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x07example\x03com\0\0\1\0\1"

    def test_every_name_has_our_address(self):
        answer = names.reply(self.QUESTION, b"\xc0\xa8\4\1")
        self.assertEqual(answer[:4], b"\x12\x34\x84\0")
        self.assertEqual(answer[-4:], b"\xc0\xa8\4\1")
        self.assertEqual(answer[4:8], b"\0\1\0\1")

    def test_other_types_have_no_record(self):
        aaaa = self.QUESTION[:-4] + b"\0\x1c\0\1"
        self.assertEqual(names.reply(aaaa, b"\0" * 4)[4:8], b"\0\1\0\0")

    def test_what_is_no_question_gets_no_answer(self):
        whole = self.QUESTION
        for size in range(len(whole)):
            self.assertEqual(names.reply(whole[:size], b"\0" * 4), None)
        for bad in (
            whole[:2] + b"\x81" + whole[3:],  # an answer
            whole[:5] + b"\2" + whole[6:],
            whole[:12] + b"\xc0\x0c" + whole[14:],  # a pointer
            whole[:12] + b"\x3fa" * 300,
            whole[:-1] + b"\3",  # another class
        ):
            self.assertEqual(names.reply(bad, b"\0" * 4), None)


if __name__ == "__main__":
    unittest.main()
