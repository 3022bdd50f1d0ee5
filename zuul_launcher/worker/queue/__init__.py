"""The side of the Gearman server: connections, registration, who may take a build, stop and describe."""
