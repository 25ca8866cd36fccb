"""Finds out under which licence something is, as an SPDX identifier: read from the sources, else
from a table of what is known, else NOASSERTION.
"""

import re
from collections.abc import Mapping
from pathlib import Path

NOASSERTION = "NOASSERTION"

# How the texts of licences can be told, the more particular ones first.
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"Apache License,? Version 2\.0", "Apache-2.0"),
    (r"Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    (r"Permission to use, copy, modify, and(?:/or)? distribute this software for any", "ISC"),
    (
        r"Redistribution and use in source and binary forms.*Neither the name",
        "BSD-3-Clause",
    ),
    (
        r"Redistribution and use in source and binary forms.*"
        r"Redistributions in binary form must reproduce",
        "BSD-2-Clause",
    ),
    (r"This software is provided 'as-is', without any express or implied", "Zlib"),
)
_FILES = ("LICENSE*", "LICENCE*", "COPYING*")
_HEADER = 4000  # characters of a file in which its licence is looked for
_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+() -]+)")
_SAYS = re.compile(r"\b(MIT)\s+licen[cs]e\b|licen[cs]e:?\s+(MIT)\b", re.IGNORECASE)
# One line of the tree in MicroPython's LICENSE, as "        /littlefs (BSD-3-clause)".
_BRANCH = re.compile(r"^( *)/(\S*) \((?:uses )?([^()]*)\)$|^( *)/(\S+)$", re.MULTILINE)
_SPELLINGS = {
    name.lower(): name
    for name in (
        "MIT",
        "ISC",
        "Zlib",
        "Apache-2.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-4-Clause",
    )
}

# Of ESP-IDF's components that are other people's, by the copyright notices in its documentation.
_OTHERS = {
    "cmock": "MIT",
    "freertos": "MIT",
    "lwip": "BSD-3-Clause",
    "mbedtls": "Apache-2.0",
    "protobuf-c": "BSD-2-Clause",
    "spiffs": "MIT",
    "unity": "MIT",
    "wpa_supplicant": "BSD-3-Clause",
}
# Its own components, which are under its own licence.
_OWN = re.compile(
    r"(esp|bootloader|nvs|hal|soc|driver|spi_flash|app_|efuse|log|pthread|vfs|console|partition_"
    r"|sdmmc|ulp|bt$|xtensa|riscv)"
)
_LIBRARIES = {
    "libgcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libstdc++": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "glibc": "LGPL-2.1-or-later",
    "mbedtls": "Apache-2.0 OR GPL-2.0-or-later",
}


def of_text(text: str) -> str:
    """Return the licence whose text this is, or that is named in it; NOASSERTION if none is."""
    tag = _TAG.search(text)
    if tag:
        return tag[1].strip()
    words = " ".join(re.sub(r"^[\s*/#;]+", "", line) for line in text.splitlines())
    for phrase, name in _PHRASES:
        if re.search(phrase, words, re.IGNORECASE):
            return name
    return "MIT" if _SAYS.search(words) else NOASSERTION


def of_source(content: bytes) -> str:
    """Return the licence that the head of a source file names."""
    return of_text(content[:_HEADER].decode("utf-8", "replace"))


def of_folder(folder: Path) -> str:
    """Return the licence of the text that lies in `folder`, as LICENSE or COPYING."""
    for pattern in _FILES:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                found = of_text(path.read_text(errors="replace"))
                if found != NOASSERTION:
                    return found
    return NOASSERTION


def of_micropython(source: Path) -> Mapping[str, str]:
    """Return the licences that MicroPython's own LICENSE gives for what is below its lib/, by the
    folders' names without dots; empty if it has none."""
    try:
        text = (source / "LICENSE").read_text(errors="replace")
    except OSError:
        return {}
    found, above = {}, ""
    for match in _BRANCH.finditer(text):
        depth = len(match[1] if match[1] is not None else match[4])
        name = match[2] if match[2] is not None else match[5]
        if depth == 4:
            above = name
        elif depth == 8 and above == "lib":
            found[plain(name)] = _SPELLINGS.get((match[3] or "").lower(), NOASSERTION)
    return found


def plain(name: str) -> str:
    """Return a folder's name as that file spells it: "re1.5" as "re15"."""
    return name.replace(".", "")


def of_component(name: str) -> str:
    """Return the licence of a component of ESP-IDF."""
    return _OTHERS.get(name) or ("Apache-2.0" if _OWN.match(name) else NOASSERTION)


def of_library(name: str) -> str:
    """Return the licence of a library that comes with compilers or Debian, as "libgcc".

    Of newlib, which has many, none is named.
    """
    return _LIBRARIES.get(name, NOASSERTION)
