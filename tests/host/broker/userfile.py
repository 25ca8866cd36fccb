"""Writes files of boards and operators for tests."""

HEAD = '[broker]\nhost = "broker.lan"\n'


def users(boards=(), operators=(), head=HEAD):
    """Return the text of a file: boards are prefixes, or more lines; operators names."""
    text = head
    for board in boards:
        prefix, _, more = board.partition("\n")
        text += f'[[boards]]\nprefix = "{prefix}"\n{more}\n'
    for operator in operators:
        name, _, more = operator.partition("\n")
        text += f'[[operators]]\nname = "{name}"\nroles = ["repl"]\n{more}\n'
    return text


PASSWORD = '\nlogin = "password"'
PSK = '\nlogin = "psk"'
