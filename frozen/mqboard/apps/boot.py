"""Has a boot run the application that NVS names, or the one before it if that failed.

Loaded only where there is one. What an application brings are files, which come before all others
of the user (mqboard.modules.begin), and modules with their settings, which the configuration has
the last word on.
"""

from mqboard.apps import manifest
from mqboard.apps.record import NEW, ON_TRIAL, Record
from mqboard.update.errors import Refusal
from mqwire import app


def load(store, me, settings, log):
    """Find out which application runs, and have `settings` (mqboard.config) and `me` (the identity)
    say so.
    """
    record = Record(store)
    safe = me.mode == "safe"
    if record.resolve(safe, me.reset_cause, log):
        settings.came_back = True
    on_trial = record.state in (NEW, ON_TRIAL)
    told = {"state": app.NONE}
    if record.now:
        for word in ("id", "name", "version"):
            told[word] = record.now[word]
        told["state"] = app.TRIAL if on_trial else app.CONFIRMED
        try:
            _apply(record.now["id"], settings, on_trial and not safe)
        except (OSError, Refusal, ValueError) as error:
            told["state"] = app.MISSING
            log.error("the application cannot be read: %r", error)
        if safe:
            told["state"] = app.STOPPED
    if record.failed:
        told["failed"] = record.failed
    me.app = told if record.now or record.failed else None


def _apply(ident, settings, on_trial):
    mine = manifest.Manifest(ident)
    settings.app = "%s/%s" % (app.FOLDER, ident)
    settings.modules = merged(mine.modules, settings.modules)
    if on_trial:
        settings.app_trial = True
        settings.app_modules = mine.own_modules(settings.modules)


def merged(defaults, configured):
    """Return the modules to run: those of an application, and those that the configuration names.

    Where both have settings for one, as objects, the configuration's go before key by key.
    """
    modules = dict(configured)
    for name in defaults:
        default, own = defaults[name], configured.get(name)
        if own is None:
            modules[name] = default
        elif isinstance(default, dict) and isinstance(own, dict):
            modules[name] = dict(default)
            modules[name].update(own)
    return modules
