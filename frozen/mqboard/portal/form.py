"""Makes a configuration of a form that a stranger's browser sent, and the page with the form.

What the form leaves empty stays as it was. But what is said of a broker belongs together: another
host never gets the user and the password of the one before.
"""

from micropython import const

_FIELDS = const(16)
_NAMES = ("ssid", "wifi", "host", "port", "tls", "ca", "user", "password", "prefix")
_PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>MQBoard</title>
<style>body{font:16px sans-serif;max-width:26em;margin:1em auto;padding:0 1em}
label{display:block;margin:.7em 0}input,textarea{width:100%%;font:inherit;box-sizing:border-box}
input[type=checkbox]{width:auto}p{border-left:4px solid #b00;padding-left:.6em}</style>
<h1>%s</h1>%s<form method="post" action="/">
<label>Wi-Fi<input name="ssid" value="%s"></label>
<label>Its password<input name="wifi" type="password" autocomplete="off"></label>
<label>Broker<input name="host" value="%s"></label>
<label>Port, if it is not the usual one<input name="port" inputmode="numeric" value="%s"></label>
<label><input name="tls" type="checkbox" value="on"%s> with TLS</label>
<label>Its CA, as PEM text<textarea name="ca" rows="3"></textarea></label>
<label>User<input name="user" value="%s"></label>
<label>Password<input name="password" type="password" autocomplete="off"></label>
<label>Prefix, as farm/pump<input name="prefix" value="%s"></label>
<button>Try it</button></form></html>
"""
_TAKEN = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>MQBoard</title>
<h1>%s</h1>The board tries it now. If it does not reach its broker with it within %d s, all is as it
was, and this network may be back, and then says why.</html>
"""


class FormError(Exception):
    """Raised when a form cannot be read, or says something that cannot be; the text says what."""


def read_form(body):
    """Return {name: text} of an application/x-www-form-urlencoded `body`; raise FormError."""
    fields = {}
    for part in body.split(b"&"):
        if len(fields) >= _FIELDS:
            raise FormError("too many fields")
        name, _, value = part.partition(b"=")
        name = _decode(name)
        if name in fields:
            raise FormError("a field is there twice")
        fields[name] = _decode(value)
    return {name: fields.get(name, "").strip() for name in _NAMES}


def _decode(text):
    """Return the text that percent-encoded UTF-8 stands for."""
    pieces = text.replace(b"+", b" ").split(b"%")
    data = pieces[0]
    for piece in pieces[1:]:
        try:
            if len(piece) < 2 or not all([byte in b"0123456789abcdefABCDEF" for byte in piece[:2]]):
                raise ValueError
            data += bytes((int(piece[:2], 16),)) + piece[2:]
        except ValueError:
            raise FormError("it is not encoded as forms are")
    try:
        text = str(data, "utf-8")
    except (UnicodeError, ValueError):
        raise FormError("it is not UTF-8")
    if "\0" in text:
        raise FormError("it has a NUL in it")
    return text


def configure(base, fields):
    """Return a configuration, not checked: `base` with what `fields` say. Raise FormError."""
    config = dict(base)
    if fields["ssid"]:
        new = {"ssid": fields["ssid"], "password": fields["wifi"]}
        others = [one for one in base.get("networks") or () if one.get("ssid") != new["ssid"]]
        config["networks"] = [new] + others[:4]
    if fields["host"]:
        config["broker"] = _broker(fields)
    if fields["prefix"]:
        config["prefix"] = fields["prefix"]
    return config


def _broker(fields):
    broker = {"host": fields["host"], "tls": bool(fields["tls"])}
    if fields["port"]:
        try:
            broker["port"] = int(fields["port"])
        except ValueError:
            raise FormError("the port is not a number")
    if fields["ca"]:
        broker["ca"] = fields["ca"].replace("\r", "") + "\n"
        if "-----BEGIN CERTIFICATE-----" not in broker["ca"]:
            raise FormError("the CA is not PEM text")
    if fields["user"]:
        broker["user"] = fields["user"]
        broker["password"] = fields["password"]
    return broker


def page(name, fields=None, wrong=""):
    """Return the page with the form: what was in it, without passwords, and what is `wrong`."""
    fields = fields or {key: "" for key in _NAMES}
    shown = [_escape(fields[key]) for key in ("ssid", "host", "port", "user", "prefix")]
    shown.insert(3, " checked" if fields["tls"] else "")
    told = wrong and "<p>%s</p>" % _escape(wrong)
    return _PAGE % ((_escape(name), told) + tuple(shown))


def taken(name, seconds):
    """Return the page that says that the board tries what was in the form."""
    return _TAKEN % (_escape(name), seconds)


def _escape(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, entity)
    return text
