"""Manners: how to lean on an exchange no harder than it allows; shared by feeds and discovery."""
