"""Read an HDF5 file in a process of its own: HDF5 crashes or hangs on some damaged files.

The file is standard input. The arguments are the seconds of processor time that this may take, the
bytes that all arrays may take, beyond which strings are not read, and the entries of `sys.path`.
Prints JSON: the bytes of all arrays, and the names of those in other files.
"""

import contextlib
import json
import os
import sys


def main() -> None:
    """Read the file on standard input and print what was found."""
    seconds, max_bytes = int(sys.argv[1]), int(sys.argv[2])
    sys.path[:] = sys.argv[3:]
    with contextlib.suppress(ImportError):  # Windows has no resource module
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    import h5py

    elsewhere, size = [], 0

    def visit_link(name, link):
        if link.type == h5py.h5l.TYPE_EXTERNAL:
            elsewhere.append(name.decode(errors="replace"))

    def visit(name, item):
        nonlocal size
        for attribute in item.attrs:
            with contextlib.suppress(Exception):
                item.attrs[attribute]
        if isinstance(item, h5py.Dataset):
            size += item.size * item.dtype.itemsize if item.size else 0
            if item.external or item.is_virtual:
                elsewhere.append(str(name))
            elif item.dtype.hasobject and size <= max_bytes:  # strings, in the heaps of HDF5
                with contextlib.suppress(Exception):
                    item[()]

    with os.fdopen(0, "rb") as content, h5py.File(content, "r") as file:
        visit("/", file)
        file.id.links.visit(visit_link, info=True)
        file.visititems(visit)
    json.dump({"bytes": size, "elsewhere": elsewhere}, sys.stdout)


if __name__ == "__main__":
    main()
