"""What a careful platform engineer refuses to run, after Kubernetes' restricted Pod Security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")
_VOLUMES = {"configMap", "emptyDir", "secret", "projected"}
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY_ID")


def violations(objects: Sequence[dict[str, Any]]) -> list[str]:
    """Everything that is wrong with the pods of these objects; empty if nothing is."""
    found = []
    for each in objects:
        template = each.get("spec", {}).get("template") if each["kind"] != "Pod" else each
        if template is not None:
            where = f"{each['kind']} {each['metadata']['name']}"
            # A Job's pod ends by itself: nobody asks whether it is ready.
            probes = () if each["kind"] == "Job" else _PROBES
            found += [f"{where}: {problem}" for problem in _pod(template["spec"], probes)]
    return found


def _pod(spec: dict[str, Any], probes: Sequence[str]) -> Iterator[str]:
    for field in _HOST:
        if spec.get(field) not in {None, field == "hostUsers"}:
            yield f"{field} is {spec[field]}"
    if spec.get("automountServiceAccountToken") is not False:
        yield "a service account's token is mounted"
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccomp is not RuntimeDefault"
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is {', '.join(kinds)}"
    for container in spec.get("initContainers", ()):
        lasts = container.get("restartPolicy") == "Always"
        yield from _container(container, ("livenessProbe",) if lasts else ())
    for container in spec["containers"]:
        yield from _container(container, probes)


def _container(container: dict[str, Any], probes: Sequence[str]) -> Iterator[str]:
    name = container["name"]
    rules = (_rights, _image, _resources, _openings)
    for rule in rules:
        for problem in rule(container):
            yield f"{name}: {problem}"
    for probe in probes:
        if probe not in container:
            yield f"{name}: no {probe}"


def _rights(container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "its root file system can be written"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privileges may grow"
    if context.get("privileged"):
        yield "is privileged"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "has capabilities"
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield "runs as root"


def _image(container: dict[str, Any]) -> Iterator[str]:
    tag = container["image"].rpartition("/")[2].partition("@")[0].partition(":")[2]
    if "@sha256:" not in container["image"] and tag in {"", "latest"}:
        yield f"image {container['image']} is not pinned"


def _resources(container: dict[str, Any]) -> Iterator[str]:
    for resource in ("cpu", "memory"):
        for bound in ("limits", "requests"):
            if not container.get("resources", {}).get(bound, {}).get(resource):
                yield f"{bound} say nothing of {resource}"


def _openings(container: dict[str, Any]) -> Iterator[str]:
    for variable in container.get("env", ()):
        if any(word in variable["name"] for word in _SECRET_WORDS) and variable.get("value"):
            yield f"{variable['name']} stands there in clear"
    for port in container.get("ports", ()):
        if port.get("hostPort"):
            yield f"takes port {port['hostPort']} of the node"
