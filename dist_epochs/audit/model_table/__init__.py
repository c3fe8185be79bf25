"""Tables of published models, a row each, such as Epoch AI's: every row is a claim, and is audited as one."""
