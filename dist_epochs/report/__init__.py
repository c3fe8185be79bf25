"""Reports: a plan, a run or a claim as one HTML file that needs nothing else."""
