"""A Gerrit that needs no Java, and the one language in which tests and the demo speak to it or to a real one.

`site.GerritSite` is that language. `stand_in.SimGerrit` is the stand-in: real SSH, real git, the rest in memory;
`python -m zuul_launcher.sim.gerrit` runs it as a process. `real.RealGerrit` speaks to a real server over REST and
git, and `real_process.RealGerritProcess` runs one from Maven artifacts.
"""
