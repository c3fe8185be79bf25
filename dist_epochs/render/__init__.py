"""Numbers for people: text for a terminal."""
