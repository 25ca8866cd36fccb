"""Sends one image to many boards at once: boards of one kind and an image go in, one stream of
blocks goes out that all of them hear, and who has it all comes out.

`stream` is what travels, `offers` the requests that boards find at the broker, `listener` one board
that hears it, `broadcast` sends until nobody misses anything, `pusher` does that for rollouts, and
pushes to each board alone what cannot be shared.
"""
