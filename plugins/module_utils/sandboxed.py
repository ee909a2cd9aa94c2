"""Run a command that is not trusted: a build script as an account of its own that sees little."""

from __future__ import annotations

from typing import Any, Protocol


class Runner(Protocol):
    """What AnsibleModule.run_command offers."""

    def __call__(self, args: list[str], **options: Any) -> tuple[int, str, str]: ...


def command_line(command: list[str], user: str, writable: list[str], environment: dict[str, str],
                 timeout_seconds: int, folder: str) -> list[str]:
    """The systemd-run call around `command`."""
    properties = {
        "User": user, "Group": user, "WorkingDirectory": folder, "RuntimeMaxSec": str(timeout_seconds),
        "UMask": "0022", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict",
        "ReadWritePaths": " ".join(writable), "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
        "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
        "ProtectControlGroups": "yes", "ProtectProc": "invisible", "RestrictSUIDSGID": "yes", "RestrictNamespaces": "yes",
        "RestrictRealtime": "yes", "LockPersonality": "yes", "SystemCallArchitectures": "native",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
        "InaccessiblePaths": "-/etc/flask-secrets -/etc/acme-cert -/etc/ssl/private -/etc/ssh",
    }
    return [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec",
        *[f"--property={key}={value}" for key, value in properties.items()],
        *[f"--setenv={key}={value}" for key, value in environment.items()], "--", *command,
    ]
