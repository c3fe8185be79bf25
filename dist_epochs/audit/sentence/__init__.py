"""Training budgets in running text: the numbers of a sentence, what each counts, and whether they add up."""
