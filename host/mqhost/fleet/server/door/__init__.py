"""Decides who and what gets in: names, pages, bodies, users and their roles."""
