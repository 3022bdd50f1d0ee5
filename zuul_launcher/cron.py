"""When a timer is due: cron times as layouts write them.

Five fields `minute hour day-of-month month day-of-week`, or six with the seconds last. Days of the week are numbered as
cron does, 0 and 7 are Sunday (Zuul 2 counted from Monday); names are safe in both.
"""

from datetime import datetime

from cronsim import CronSim, CronSimError


def next_time(time: str, after: float) -> float:
    """The first epoch second after `after` that fits, in the time zone of this machine.

    Raises ValueError with what is wrong with the expression, or if no time ever fits.
    """
    fields = time.split()
    if len(fields) == 6:
        fields = [fields[5], *fields[:5]]
    elif len(fields) != 5:
        raise ValueError(f"{len(fields)} fields instead of 5, or 6 with seconds")
    try:
        return next(CronSim(" ".join(fields), datetime.fromtimestamp(after).astimezone())).timestamp()
    except CronSimError as error:
        raise ValueError(str(error)) from error
    except StopIteration:
        raise ValueError("no time fits it") from None
