"""The build manager: runs builds that are queued at a Gearman server, on this machine and on nodes over SSH."""
