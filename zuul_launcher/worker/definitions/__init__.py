"""What is to be run, and where: jobs, nodes and secrets, as their files describe them."""
