"""Command lines: each command calls ops and prints."""
