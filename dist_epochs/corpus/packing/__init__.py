"""How the documents of a store become samples, and how these stand in its files."""
