"""What a plan costs: parameters, FLOPs, memory and devices, by closed form."""
