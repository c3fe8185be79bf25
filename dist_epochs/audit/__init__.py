"""Do the numbers add up? Claims, readings, verdicts."""
