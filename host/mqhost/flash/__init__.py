"""Knows the formats of bytes in flash: app images, partition tables, otadata, filesystems.

Bytes go in and facts come out, or the other way round; nothing here touches a device.
"""
