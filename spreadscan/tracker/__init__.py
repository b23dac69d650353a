"""Tracker: signals in, an episode ledger out."""
