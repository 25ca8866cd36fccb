"""Runs the user's modules, and holds those of ours that a board may have besides: names and
settings of the configuration go in; tasks of the supervisor come out, and why one does not run."""

# Where modules of the user lie. All of it comes after what is frozen, which no file can stand in
# for; "/" and not "", so that a file's name is told from a frozen one's, and chdir changes nothing.
USER_PATH = ("/app", "/lib", "/")


def user_path(app):
    """Return the folders of the user's modules; `app` is that of the application, "": none."""
    return ((app, app + "/lib") if app else ()) + USER_PATH
