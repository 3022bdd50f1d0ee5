"""Commands: one file a group. They read settings, call one function, print the answer."""
