"""How a board says no to an update, or gives one up."""


class Refusal(Exception):
    """`code` is one of mqwire.update, `detail` is for a person."""

    def __init__(self, code, detail=""):
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
