"""Simulated exchanges on loopback, in the exchanges' own protocols."""
