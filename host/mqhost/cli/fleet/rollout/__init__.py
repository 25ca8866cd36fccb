"""Defines `mqboard fleet rollout`: images to many boards, wave by wave, kept in a database.

images, the boards chosen → the plan, shown and agreed to → the database → drive → lines as it goes
"""
