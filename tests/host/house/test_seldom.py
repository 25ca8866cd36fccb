"""Tests that modules which the board unloads are loaded where they are needed, and nowhere kept."""

import ast
import sys

from mqhost.paths import FROZEN


def kept_from_the_top(path):
    """Return the modules of whose functions a module has hold; a constant keeps nothing else."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if not alias.name.isupper():
                    names |= {node.module, f"{node.module}.{alias.name}"}
    return names


def test_who_stays_imports_what_is_unloaded_inside_functions_only():
    from mqboard.seldom import MODULES

    files = {
        ".".join(path.relative_to(FROZEN).with_suffix("").parts).removesuffix(".__init__"): path
        for path in FROZEN.rglob("*.py")
    }
    assert set(MODULES) <= files.keys()
    stays = files.keys() - set(MODULES)
    loaded = ("mqboard.commands.", "mqboard.files")
    stays = {name for name in stays if not name.startswith(loaded)}
    # After the last word of a board: what it keeps is nobody's.
    stays -= {"mqboard.prompt"}
    assert len(stays) > 40
    unloaded = set(MODULES) | {name for name in files if name.startswith(loaded)}
    kept = {name: kept_from_the_top(files[name]) & unloaded for name in stays}
    assert not {name: modules for name, modules in kept.items() if modules}


def imported(path):
    """Return the modules that a file imports, anywhere in it: the first words of their names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names


def test_no_file_of_the_user_stands_in_for_what_is_loaded_again():
    from mqboard.modules.begin import BUILT_IN

    ours = (FROZEN / "mqboard", FROZEN / "mqwire")
    used = set().union(*(imported(path) for folder in ours for path in folder.rglob("*.py")))
    frozen = {"mqboard", "mqwire", "mqbuild", "asyncio"}
    # Registered by MicroPython so that no file can stand in for them.
    fixed = {"_thread", "builtins", "deflate", "esp32", "gc", "micropython", "sys", "tls"}
    fixed |= {"tlspsk", "utime", "vfs"}
    assert used - frozen - fixed == set(BUILT_IN)


def test_what_is_unloaded_can_be_loaded_again():
    import mqboard.seldom

    before = dict(sys.modules)
    try:
        import mqwire.crash as first

        mqboard.seldom.unload()
        assert "mqwire.crash" not in sys.modules

        import mqwire.crash as second

        assert first is not second and first.__dict__.keys() == second.__dict__.keys()
    finally:
        sys.modules.update(before)
