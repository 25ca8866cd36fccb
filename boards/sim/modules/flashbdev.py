"""Names the block device of the board's filesystem: the vfs partition, as on the ESP32 port."""

from esp32 import Partition

bdev = Partition.find(Partition.TYPE_DATA, label="vfs")
bdev = bdev[0] if bdev else None
