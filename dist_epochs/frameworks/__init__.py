"""What frameworks report of a run beside what truly happens: `dist-epochs plan --like`.

One file for each framework; `causes/` says why their numbers part from the true ones.
"""
