"""All scenarios, by name; one module per kind of fault."""

from tests.faults.chaos.scenarios import churn, clock, data, leaving, network, overload, processes
from tests.faults.chaos.stage import Scenario

SCENARIOS: dict[str, Scenario] = {
    "service-killed": processes.service_killed,
    "store-killed": processes.store_killed,
    "worker-killed": processes.worker_killed,
    "supervisor-killed": processes.supervisor_killed,
    "terminated": leaving.terminated(1),
    "four-workers-terminated": leaving.terminated(4),
    "mirror-dies": processes.part_dies("mirror"),
    "hub-dies": processes.part_dies("hub"),
    "settling-dies": processes.part_dies("settling"),
    "store-frozen": network.store_frozen,
    "store-paused": network.store_paused,
    "clients-killed": network.clients_killed,
    "connection-cut": network.connection_cut,
    "half-open": network.half_open,
    "answers-lost": network.answers_lost,
    "slow-network": network.slow_network,
    "flushed": data.flushed,
    "wrong-types": data.wrong_types,
    "memory-full": data.memory_full,
    "read-only-replica": data.read_only_replica,
    "scripts-flushed": data.scripts_flushed,
    "tracking-forbidden": data.tracking_forbidden,
    "service-clock-set": clock.service_clock_set,
    "store-clock-set": clock.store_clock_set,
    "overload": overload.overload,
    "churn": churn.churn,
}
