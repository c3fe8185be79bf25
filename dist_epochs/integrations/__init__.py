"""Drop-ins for other people's trainers, on the one counter; a plain loop takes `dist_epochs.Ledger` itself."""
