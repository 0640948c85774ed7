"""How long the collector waits for an answer (seconds) and how much of it it reads (bytes)."""

# For the moment at which all hosts begin: hundreds of them take minutes to be told.
BEGIN_WITHIN = 300.0

STATUS_TIMEOUT = 2.0
# A little under two slots, so that a node that hangs is asked every second slot, not every third.
HEALTHZ_TIMEOUT = 1.95
# /readyz writes a probe to every slot and may take 5 s with the default 10 slots.
SLOW_PROBE_TIMEOUT = 6.0
METRICS_TIMEOUT = 5.0
PPROF_TIMEOUT = 8.0
# On top of the seconds that a CPU profile lasts.
PROFILE_SLACK = 5.0
# For a node that did not answer its last health checks: enough to learn that it still doesn't.
SILENT_NODE_TIMEOUT = 2.0
ENGINE_TIMEOUT = 4.0
# For what the target of a replay serves in place of the recorded stack.
SERVED_SAMPLE_TIMEOUT = 2.0
SERVED_FILE_TIMEOUT = 8.0
LOGS_TIMEOUT = 60.0

SLOW_INTERVAL = 10.0
DOCKER_STATS_INTERVAL = 2.0
# For what the kernel counts of each container or process.
KERNEL_INTERVAL = 5.0

SMALL_BODY = 256 * 1024
ENGINE_BODY = 1 << 20
CLUSTER_BODY = 4 << 20
# The sink of a log bounds what is kept of it.
LOG_BODY = 1 << 40
MAX_BODY_FIELD = 2000
MAX_LOG_LINE = 64 * 1024
# What a spec may set instead.
LOG_BYTES = 64 * 1024 * 1024
FILE_BYTES = 64 * 1024 * 1024
