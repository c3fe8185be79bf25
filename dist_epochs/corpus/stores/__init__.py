"""A token store on the disk: its files, their checks, and how it is opened."""
