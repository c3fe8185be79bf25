"""What runs need of the system: whole files, locks, the other ranks, and copies from a device."""
