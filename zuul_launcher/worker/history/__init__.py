"""What the manager remembers: build numbers, builds and their results, nodes that were taken offline."""
