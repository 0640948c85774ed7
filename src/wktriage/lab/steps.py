"""What a fault file may tell the lab to do, and how it may check that it took hold.

Each class declares the arguments of the action or check of that name in ``lab/actions``; ``do`` in
the file names it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from wktriage.core.declarations import Declared
from wktriage.core.topology import Verb

Amount = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
Rule = Annotated[tuple[str | int | float, ...], Meta(min_length=1)]
"""The words of one iptables rule."""
Port = Annotated[int, Meta(ge=1, le=65535)]


class Step(Declared, frozen=True, tag_field="do"):
    """One action on the fault's targets, or one check of them."""

    @property
    def do(self) -> str:
        """Return the name of the action or check."""
        return str(type(self).__struct_config__.tag)

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the file gives, by name."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value is not UNSET}


class UseVerb(Step, frozen=True, tag="verb"):
    """Do what the topology says is done for that verb."""

    verb: Verb


class Cycle(Step, frozen=True, tag="cycle"):
    """Alternate two verbs, ``on_s`` and ``off_s`` seconds each, until ``seconds`` are over."""

    on: Verb
    off: Verb
    on_s: Amount
    off_s: Amount
    seconds: Amount | UnsetType = UNSET


class EndCycle(Step, frozen=True, tag="end_cycle"):
    """End any cycle."""


class Firewall(Step, frozen=True, tag="firewall"):
    """Add one rule in the target's network namespace."""

    rule: Rule
    chain: Literal["INPUT", "OUTPUT"] | UnsetType = UNSET


class FirewallCycle(Step, frozen=True, tag="firewall_cycle"):
    """Apply one rule for ``on_s`` seconds, again and again, ``off_s`` seconds apart."""

    rule: Rule
    on_s: Amount
    off_s: Amount


class FirewallOff(Step, frozen=True, tag="firewall_off"):
    """Remove every rule of the lab."""


class Part(Step, frozen=True, tag="part"):
    """Drop what the other targets send to a port of this one."""

    port: Port


class CapLink(Step, frozen=True, tag="cap_link"):
    """Let the target send no more than that; with a port, to or from that port alone."""

    rate_kbit: Annotated[int, Meta(ge=1)]
    port: Port | UnsetType = UNSET


class UncapLink(Step, frozen=True, tag="uncap_link"):
    """Remove the cap."""


class DelayLink(Step, frozen=True, tag="delay_link"):
    """Delay what the target's connections to or from a port carry, both ways."""

    port: Port
    delay_ms: Amount


class UndelayLink(Step, frozen=True, tag="undelay_link"):
    """Remove the delay."""


class Sever(Step, frozen=True, tag="sever"):
    """Destroy the established connections to or from a port, once."""

    port: Port


class PortRange(Step, frozen=True, tag="port_range"):
    """Leave the target so many ports for connections that it makes."""

    ports: Annotated[int, Meta(ge=1, le=20000)]


class PortRangeOff(Step, frozen=True, tag="port_range_off"):
    """Give the ports back."""


class LimitDescriptors(Step, frozen=True, tag="limit_descriptors"):
    """Allow the target so many descriptors; those that are open stay open."""

    count: Annotated[int, Meta(ge=1)]


class UnlimitDescriptors(Step, frozen=True, tag="unlimit_descriptors"):
    """Give the descriptors back."""


class Update(Step, frozen=True, tag="update"):
    """Change the container's resource limits; ``cpus`` 0 is no limit, memory is like 8g."""

    cpus: Amount | UnsetType = UNSET
    memory: str | UnsetType = UNSET
    memory_swap: str | UnsetType = UNSET


class Hog(Step, frozen=True, tag="hog"):
    """Start ``count`` processes that use up the host's CPU, or fsync all the time."""

    kind: Literal["cpu", "fsync"]
    count: Annotated[int, Meta(ge=1)]
    seconds: Amount


class EndHogs(Step, frozen=True, tag="end_hogs"):
    """End all hogs."""


class Squeeze(Step, frozen=True, tag="squeeze"):
    """Leave the target that much more memory than it holds now."""

    headroom_mb: Amount


class ThrottleWrites(Step, frozen=True, tag="throttle_writes"):
    """Allow that many writes a second to the device of the data; 0 is no limit."""

    iops: Annotated[int, Meta(ge=0)]


class Fill(Step, frozen=True, tag="fill"):
    """Fill the volume of the data but for that much."""

    leave_mb: Amount


class Unfill(Step, frozen=True, tag="unfill"):
    """Free what was filled."""


class Stick(Step, frozen=True, tag="stick"):
    """Freeze the volume of the data."""


class Unstick(Step, frozen=True, tag="unstick"):
    """Thaw the volume of the data."""


class LoseData(Step, frozen=True, tag="lose_data"):
    """Empty the target's data directory."""


class Disconnect(Step, frozen=True, tag="disconnect"):
    """Take the target off its networks."""


class Reconnect(Step, frozen=True, tag="reconnect"):
    """Put the target back on its networks."""


class State(Step, frozen=True, tag="state"):
    """The engine gives the target that state."""

    equals: Literal["created", "running", "paused", "restarting", "exited", "dead"]


class Limited(Step, frozen=True, tag="limited"):
    """The target has that CPU limit."""

    cpus: Amount


class WritingSlowly(Step, frozen=True, tag="writing_slowly"):
    """The target is limited to that many writes a second."""

    iops: Annotated[int, Meta(ge=0)]


class Full(Step, frozen=True, tag="full"):
    """The volume has no more than that free."""

    leave_mb: Amount


class Restarted(Step, frozen=True, tag="restarted"):
    """The target started anew."""


class Firewalled(Step, frozen=True, tag="firewalled"):
    """Packets met the rule."""


class Capped(Step, frozen=True, tag="capped"):
    """Something waited for the capped link."""


class Delayed(Step, frozen=True, tag="delayed"):
    """Connections go through the delay."""


class Severed(Step, frozen=True, tag="severed"):
    """There were connections that were destroyed."""


class PortsNarrowed(Step, frozen=True, tag="ports_narrowed"):
    """A connection got no port."""


class DescriptorsExhausted(Step, frozen=True, tag="descriptors_exhausted"):
    """All descriptors are in use, or one was refused."""


class Hogged(Step, frozen=True, tag="hogged"):
    """All hogs are alive."""


class Cycling(Step, frozen=True, tag="cycling"):
    """The cycle goes on."""


class OomKilled(Step, frozen=True, tag="oom_killed"):
    """The target was killed for its memory."""


class Stuck(Step, frozen=True, tag="stuck"):
    """The volume is frozen."""


class StartedEmpty(Step, frozen=True, tag="started_empty"):
    """The target started after its data had gone."""


class Disconnected(Step, frozen=True, tag="disconnected"):
    """The target is on no network."""


Action = (
    UseVerb
    | Cycle
    | EndCycle
    | Firewall
    | FirewallCycle
    | FirewallOff
    | Part
    | Update
    | Hog
    | EndHogs
    | Squeeze
    | ThrottleWrites
    | Fill
    | Unfill
    | Stick
    | Unstick
    | LoseData
    | Disconnect
    | Reconnect
    | CapLink
    | UncapLink
    | DelayLink
    | UndelayLink
    | Sever
    | PortRange
    | PortRangeOff
    | LimitDescriptors
    | UnlimitDescriptors
)
Check = (
    State
    | Limited
    | WritingSlowly
    | Full
    | Restarted
    | Firewalled
    | Hogged
    | Cycling
    | OomKilled
    | Stuck
    | StartedEmpty
    | Disconnected
    | Capped
    | Delayed
    | Severed
    | PortsNarrowed
    | DescriptorsExhausted
)
