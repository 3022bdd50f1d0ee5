"""Every error of ours, in one tree. The class says whose fault it is; the text says where, and what to do next."""


class ZuulLauncherError(Exception):
    """Base of all errors that this program raises on purpose."""


class ConfigurationError(ZuulLauncherError):
    """A file of the site is wrong: zuul.conf, layout.yaml, known_hosts."""


class RemoteError(ZuulLauncherError):
    """Another system (Gerrit, Gearman, database, git server) did not do what was asked."""


class RemoteUnavailable(RemoteError):
    """It could not be reached, or did not answer within the deadline: worth another try later."""


class RemoteRefused(RemoteError):
    """It answered and said no: asking again gives the same answer."""


class RequestError(ZuulLauncherError):
    """A person or a tool asked for something that cannot be done."""
