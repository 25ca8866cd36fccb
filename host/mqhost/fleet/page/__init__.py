"""Shows the fleet to people in a browser: what the server knows goes in; pages, and what moves on
them, come out.

`routes` answers the browser, `templates` are the pages, `static` is what runs in the browser;
`vendored` brings what that is made with, which `vendor.toml` names.
"""
