"""Defines `mqboard fleet`: commands on the boards that patterns, a group or a condition choose.

the line → Selection → the boards, chosen at the broker → the same functions as for one board,
side by side → what came of it for each, and how many
"""
