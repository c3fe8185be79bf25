"""What will go wrong at a launch: an Accelerate configuration beside the plan that it is to run."""
