"""The systemd unit of a gateway, and the user that it runs as. Pure."""

from pathlib import Path
from typing import Final

STATE_DIRECTORY: Final = "shelfpulse"
METRICS_PORT: Final = 9104
WATCHDOG_S: Final = 60
MEMORY_MAX: Final = "256M"

_UNIT: Final = """\
# Written by shelfpulse edge install.
[Unit]
Description=ShelfPulse edge agent
Documentation=man:systemd.service(5)
# It needs no network to start: what it reads is kept until there is one.
After=network.target time-sync.target
# A gateway that dies in the night is tried again for ever.
StartLimitIntervalSec=0

[Service]
Type=notify
# The guard takes back a release from afar that does not prove itself, then becomes the agent.
ExecStart={python} -I -m edge_agent.update.guard /var/lib/{state}/update {program} edge run --config {config}
Restart=always
RestartSec=2
# The agent answers as long as its threads live. A full disk or a missing broker is no reason to be killed.
WatchdogSec={watchdog_s}
# It writes what it has to the outbox. A drain_s beyond 50 needs a longer TimeoutStopSec in a drop-in.
TimeoutStartSec=60
TimeoutStopSec=60
User={user}
Group={user}
# Serial lines of Modbus RTU.
SupplementaryGroups=dialout
StateDirectory={state}
StateDirectoryMode=0700
WorkingDirectory=/var/lib/{state}
Environment=SHELFPULSE_STATE=/var/lib/{state} SHELFPULSE_LOG_FORMAT=json SHELFPULSE_METRICS_PORT={port}
UMask=0077
MemoryMax={memory}
TasksMax=256
LimitNOFILE=4096

# What it may not do. It talks to a broker, to Modbus TCP and to serial lines, and writes its state.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateUsers=yes
PrivateMounts=yes
ProtectProc=invisible
# No ProcSubset=pid and no ProtectClock: the agent reads the boot id, and asks the kernel whether its clock is
# disciplined. Setting the clock needs a capability that it does not have.
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
DevicePolicy=closed
DeviceAllow=char-ttyS rw
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
DeviceAllow=char-ttyAMA rw
DeviceAllow=char-ttymxc rw
DeviceAllow=char-ttyO rw
DeviceAllow=char-ttySC rw
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=adjtimex clock_adjtime clock_adjtime64
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(*, program: Path, config: Path, user: str) -> str:
    """Text of ``shelfpulse-edge.service``. The Python that ``program`` runs with lies beside it."""
    return _UNIT.format(
        program=program,
        python=program.with_name("python"),
        config=config,
        user=user,
        state=STATE_DIRECTORY,
        port=METRICS_PORT,
        watchdog_s=WATCHDOG_S,
        memory=MEMORY_MAX,
    )


def sysusers(user: str) -> str:
    """Text of a sysusers.d(5) file: the user, and its membership of the group that owns serial lines."""
    return f'u {user} - "ShelfPulse edge agent" /var/lib/{STATE_DIRECTORY}\nm {user} dialout\n'
