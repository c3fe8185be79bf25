"""What frameworks report of a run, compared with what happens: `dist-epochs plan --like`.

One file for each framework; `causes/` explains why their numbers differ from the true ones.
"""
