"""Other people's loops: their batches counted, booked and looked at."""
