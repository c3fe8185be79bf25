"""What a finished run left, as numbers with their places; and what its readers share: lines, packed files, framings."""
