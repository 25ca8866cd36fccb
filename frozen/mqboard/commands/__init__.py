"""Answers the commands of people, a module each with `async def answer(board, request)`: a request
goes in; a reply comes out. They are loaded with their first use (see mqboard.board)."""
