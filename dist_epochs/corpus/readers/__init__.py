"""One file per format of a corpus; each yields the documents of one file or dataset."""
