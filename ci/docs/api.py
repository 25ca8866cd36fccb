"""Writes the reference of the HTTP API, docs/api.md, out of the OpenAPI description of the server.

    the server's paths → OpenAPI, and the role that each takes → Markdown, behind what people wrote

What people wrote stands in the page itself, before "All paths", and stays.
"""

from collections.abc import Iterator
from typing import Any

from mqhost.fleet.server.app import MODULES, make_api
from mqhost.fleet.server.door.auth import role_of

_MARK = "## All paths\n"
_TAGS = (
    "boards",
    "one board",
    "files",
    "applications",
    "jobs",
    "images",
    "rollouts",
    "history",
    "events",
    "server",
)


def api_page(before: str) -> str:
    """Return the text of docs/api.md, of which `before` is what it was."""
    described = make_api().openapi()
    roles = dict(_roles())
    lines = [before.partition(_MARK)[0] + _MARK]
    for tag in _TAGS:
        lines.append(f"### {tag[0].upper()}{tag[1:]}\n")
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if operation["tags"][-1] == tag:
                    role = roles[method.upper(), path]
                    lines += _operation(method, path, operation, role, described["components"])
    return "\n".join(lines).rstrip() + "\n"


def _roles() -> Iterator[tuple[tuple[str, str], str]]:
    for module in MODULES:
        for route in module.router.routes:
            for method in getattr(route, "methods", None) or ():
                yield (method, route.path), role_of(route)


def _operation(
    method: str, path: str, operation: dict[str, Any], role: str, components: dict[str, Any]
) -> Iterator[str]:
    """Yield the lines about one method of a path."""
    yield f"**`{method.upper()} {path}`** {f'(`{role}`)' if role else '(anybody)'}\n"
    yield " ".join(operation["description"].split()) + "\n"
    rows = [
        (one["name"], one["schema"], one.get("description", ""), one["required"])
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        schema = _resolved(content["schema"], components)
        needed = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            where = "in the body" if "json" in kind else "a file of a form"
            text = field.get("description") or _resolved(field, components).get("description", "")
            rows.append((name, field, f"{where}: {text}" if text else where, name in needed))
    if rows:
        yield "| parameter | | |\n| --- | --- | --- |"
        for name, schema, text, needed in rows:
            kind = _kind(_resolved(schema, components))
            default = schema.get("default")
            more = "" if needed or default in (None, "", {}) else f", `{_plain(default)}`"
            flag = "" if needed else " (optional)"
            yield f"| `{name}` | {kind}{more}{flag} | {' '.join(text.split())} |"
        yield ""


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference means, or the one of several that is not null."""
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return _resolved(one, components)
    name = schema.get("$ref", "").rpartition("/")[2]
    return components["schemas"][name] if name else schema


def _kind(schema: dict[str, Any]) -> str:
    if words := schema.get("enum"):
        return " or ".join(f"`{word}`" if word else "nothing" for word in words)
    kind = {"array": "list", "string": "text", "integer": "number", "boolean": "true or false"}
    return kind.get(schema.get("type", ""), schema.get("type", "anything"))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
