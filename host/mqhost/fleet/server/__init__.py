"""Serves a fleet over HTTP: what boards say at the broker, and what people and scripts wish, go in;
an API, live events and metrics come out. What is done with a board is done by the rooms below.

    access, auth, guard → who may come in    asking, jobs, work → one board, asked or changed
    live → how every board is, now           changes → who waits for news hears of them
    api → all of that, by paths              app, serve → before a web server
"""
