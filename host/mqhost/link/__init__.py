"""Talks MQTT to one board: settings and requests go in; replies and statuses come out.

`settings` says where the broker is and which board is meant, `connection` speaks with the broker,
`session` with the board, `exchange` carries one command and its replies. `boardconfig` checks the
configuration that tells a board the same things.
"""
