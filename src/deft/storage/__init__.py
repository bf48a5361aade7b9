"""What touches disks: atomic files, one codec of cards, one hash, one lock of a folder."""
