"""The browser page: this package in Pyodide, without a server. `build` writes it, `session` runs in it."""
