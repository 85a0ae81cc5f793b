"""The assets, one module per pipeline. What they share (partitions, resources, metadata) lies one folder up."""
