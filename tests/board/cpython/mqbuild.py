"""Stands in on CPython for the generated `mqbuild`: what the on-board logic uses of it."""

BUILD_TIME = 1_760_000_000  # 2025-10-09
