"""Holds the error by which a board refuses an update, or gives one up."""


class Refusal(Exception):
    """Refuses an update. `code` is one of mqwire.update, `detail` is for a person."""

    def __init__(self, code, detail=""):
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
