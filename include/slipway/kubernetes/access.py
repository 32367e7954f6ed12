"""Ways to an API server: by a kubeconfig or from within the cluster, and through its proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.rollout.endpoint import Endpoint

KUBECONFIG = "SLIPWAY_KUBECONFIG"


def api_client(environ: Mapping[str, str]) -> Any:
    """The official client's `ApiClient` for the kubeconfig that is named, or the own cluster.

    Raises:
        TerminalError: There is neither, or the kubeconfig cannot be used.
    """
    import yaml
    from kubernetes import client, config

    path = environ.get(KUBECONFIG, "")
    configuration = client.Configuration()
    configuration.retries = False
    try:
        if path:
            config.load_kube_config(path, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        where = f"the kubeconfig {path}" if path else "the cluster's own service account"
        raise TerminalError(
            f"no Kubernetes cluster: {where} cannot be used: {' '.join(str(error).split())}",
            hint=f"set {KUBECONFIG} to a kubeconfig, or correct the Airflow connection",
            subject=KUBECONFIG,
        ) from None
    return client.ApiClient(configuration)


def proxied(settings: Any, namespace: str, what: str, port: int) -> Endpoint:
    """An HTTP API of a pod or Service, through the API server's proxy.

    Args:
        settings: The official client's `Configuration`.
        namespace: Where.
        what: pods/<name> or services/<name>.
        port: Of the pod or Service.
    """
    # DAGs are parsed with this module; only whoever asks needs an HTTP client.
    import ssl

    from slipway.rollout.endpoint import Endpoint

    path = f"/api/v1/namespaces/{namespace}/{what}:{port}/proxy"
    headers = {
        auth["key"]: auth["value"]
        for auth in settings.auth_settings().values()
        if auth["in"] == "header"
    }
    tls: ssl.SSLContext | None = None
    if settings.host.startswith("https"):
        tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if settings.cert_file:
            tls.load_cert_chain(settings.cert_file, settings.key_file)
    return Endpoint(f"{settings.host.rstrip('/')}{path}", headers, tls)
