"""Firmware from CI: the name of a repository goes in, a checked bundle of images comes out."""
