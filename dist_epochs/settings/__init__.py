"""One reader of settings files with the place of every value: YAML and JSON, and fields declared once."""
