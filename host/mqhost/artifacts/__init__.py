"""Brings firmware from CI: a repository's name goes in, a checked bundle of images comes out."""
