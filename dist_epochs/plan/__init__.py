"""Recipes and what they will draw."""
