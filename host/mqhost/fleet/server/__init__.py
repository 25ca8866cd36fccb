"""Serves a fleet over HTTP: what boards say at the broker, and what people and scripts wish, go in;
an API, live events and metrics come out. What is done with a board is done by the rooms below.

    door → who may come in, and what         asking → one board, asked
    hearing → how every board is, now        working → one board, or many, changed
    api → all of that, by paths              changes → who waits for news hears of them
    app, serve → before a web server
"""
