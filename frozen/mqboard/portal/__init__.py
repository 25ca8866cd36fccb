"""Takes a configuration from a phone, over an access point of the board's own with a page on it.

A form goes in; a configuration on trial comes out, and a restart. docs/network.md. All of it is
loaded only while the access point is on.
"""
