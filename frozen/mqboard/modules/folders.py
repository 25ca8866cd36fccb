"""Says in which folders the user's modules are looked for."""

# Where modules of the user lie. All of it comes after what is frozen, which no file can stand in
# for; "/" and not "", so that a file's name is told from a frozen one's, and chdir changes nothing.
USER_PATH = ("/app", "/lib", "/")


def user_path(app):
    """Return the folders of the user's modules; `app` is that of the application, "": none."""
    return ((app, app + "/lib") if app else ()) + USER_PATH
