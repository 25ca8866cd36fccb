"""Has the arguments of tasks, with their help texts."""

from ci.docs.reference import fresh_tasks


def arguments_of(name):
    """Return the arguments of the task of that name, with their help texts."""
    return getattr(fresh_tasks(), name).get_arguments()
