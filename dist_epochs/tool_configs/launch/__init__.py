"""What will go wrong at a launch: an Accelerate configuration checked against the plan that it is to run."""
