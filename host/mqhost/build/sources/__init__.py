"""Finds MicroPython's sources for a build, and lays them out.

`source` says which there are: a release that `upstream` cloned, Debian's package, or a checkout;
`integrity` looks whether what the cache has is whole; `staging` copies what a build writes into.
"""
