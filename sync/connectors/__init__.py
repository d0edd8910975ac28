"""Speaking to remote systems: typed calls in, frozen records out, only our own errors raised.

`registry.connect` is the way in. `http` is the only module that knows an HTTP library.
"""
