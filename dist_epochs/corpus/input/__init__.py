"""What a corpus is read from: sources, their documents, and the formats of text and tokens."""
