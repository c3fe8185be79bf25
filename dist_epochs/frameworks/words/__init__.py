"""What step, iteration, epoch and batch mean, in textbooks and in frameworks, with numbers."""
