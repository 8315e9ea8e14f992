"""What crosses between Python and the page, described once: one module for each view, and one for all.

`tools/protocol.py` writes `js/src/protocol` from these modules, so that both sides are typed by the same words. Only
plain JSON types appear here; numbers in bulk travel as `WireArray` buffers.
"""
