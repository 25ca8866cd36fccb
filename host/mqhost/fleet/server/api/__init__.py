"""Offers the fleet by paths: a request goes in, what the rooms below say comes out as JSON. What
takes a thread for long has one of its own kind: who waits for a board holds up no other request.
"""
