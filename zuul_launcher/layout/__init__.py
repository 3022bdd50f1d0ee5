"""layout.yaml -> `model.Layout`, or all that is wrong with it, each mistake with file, line and column."""
