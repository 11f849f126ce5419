"""C++'s standard error stream, which compiled libraries write to past all logging.

xgrammar makes grammars of what callers send. It warns on `std::cerr` of what it ignores in a regular expression or a
schema, and quotes it; it has neither a level nor a switch for that. So the stream is put into the state of one that has
failed, and drops what is written to it. Python's logging, C's `stderr` (with which the C++ runtime tells of an uncaught
exception) and the descriptor stay as they are.

What is called is libstdc++'s, by the names of the Itanium C++ ABI (https://itanium-cxx-abi.github.io/cxx-abi/abi.html),
which have been the same since GCC 3.4.
"""

from __future__ import annotations

import ctypes

_CERR = "_ZSt4cerr"
_CLEAR = "_ZNSt9basic_iosIcSt11char_traitsIcEE5clearESt12_Ios_Iostate"  # std::ios::clear(std::ios::iostate)
_BAD = 1  # std::ios::badbit
# Three words before a table of virtual functions: the way from the object to its virtual base, here `std::ios`.
_OFFSET_OF_BASE = -3 * ctypes.sizeof(ctypes.c_void_p)


def close() -> None:
    """Drop what this process, and what it forks from now on, writes to `std::cerr`.

    Raises:
        OSError: there is no libstdc++; then xgrammar could not have been loaded either.
        AttributeError, ValueError: it is another than the one that is known.
    """
    library = ctypes.CDLL("libstdc++.so.6")
    cerr = ctypes.addressof(ctypes.c_char.in_dll(library, _CERR))
    table = ctypes.c_void_p.from_address(cerr).value
    if table is None:
        raise ValueError("std::cerr is not made yet")
    base = cerr + ctypes.c_ssize_t.from_address(table + _OFFSET_OF_BASE).value
    clear = library[_CLEAR]
    clear.argtypes, clear.restype = [ctypes.c_void_p, ctypes.c_int], None
    clear(base, _BAD)
