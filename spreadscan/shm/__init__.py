"""Shared memory: the only package that touches mapped bytes."""
