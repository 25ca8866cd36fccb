"""Does an operator's daily work on one board: a session and a wish go in; the board is as it was
wished, or an error says how it is. What takes a restart is followed until the board is back."""
