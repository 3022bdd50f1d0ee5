"""One build from its parameters to its result: workspace, sources, steps, console, publishers, clean-up."""
