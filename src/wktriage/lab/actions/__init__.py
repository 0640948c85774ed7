"""What a fault can do to a target, each with its undoing, and the checks that it took hold.

Everything goes through the verbs of ``topology.json`` or the engine's own tools, touches only
containers that the topology names and processes started here, and is bounded in time.
"""
