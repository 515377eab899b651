"""What happens inside a measured process: the clock, and one seed's training. Imports lenet and nothing of bench."""
