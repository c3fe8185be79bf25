"""Two runs beside each other: the first step at which they part, and why."""
