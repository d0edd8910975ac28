"""Each preset of a connection runs against a stand-in of its system, over HTTP."""
