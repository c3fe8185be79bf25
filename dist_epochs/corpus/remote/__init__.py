"""Stores at an address: what is fetched of them, when, and where it is kept."""
