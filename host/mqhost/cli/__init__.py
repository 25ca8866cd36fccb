"""Offers the command line, and alone prints and asks: arguments go in, text comes out.

`main` has the commands of `mqboard`; the Invoke tasks use the same functions.
"""
