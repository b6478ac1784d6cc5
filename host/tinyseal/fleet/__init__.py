"""Boards over time: who they are, what was sent to them, what became of it."""
