"""Serves a recorded incident again, in real time, over the HTTP surface of the real processes.

Standard library only, Python 3.8 or newer: it is shipped as one zipapp to a host, or into a
container, and run there. It answers with what was recorded at the moment that is due, and with
``not recorded`` (501; 404 for an unknown path) for anything else. It never makes a value up: the
times alone are moved, by one constant shift, from the recording's clock to now.
"""
