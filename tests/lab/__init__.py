"""Tests that need a notebook server, which all of them share: fixtures of this package end with it."""
