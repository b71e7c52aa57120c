"""The two proxies that are measured, configured alike, and the sites behind them.

Envoy has the outbound side of an Istio sidecar: a virtual listener that hands connections to a listener per port by
their original destination, protocol sniffing, one virtual host and cluster per service, SNI chains on 443, a catch-all
that answers 502, and Istio's text access log in a file. Egret's sidecar reads the same services as ServiceEntries.
"""

import json
from pathlib import Path

# Istio's default text access log (EnvoyAccessLog of Istio 1.31).
ACCESS_LOG = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
SITE_HTTP, SITE_TLS = 8080, 8443
SERVICES = 100


def hosts(measured):
    """The host under load among others, so that matching has something to choose from."""
    return [measured] + [f"service-{number}.bench.test" for number in range(SERVICES - 1)]


def typed(kind, **fields):
    return {"@type": f"type.googleapis.com/envoy.{kind}", **fields}


def envoy(directory: Path, measured: str, port: int, log: Path) -> Path:
    """Writes Envoy's bootstrap file."""
    access_log = [
        {
            "name": "file",
            "typed_config": typed(
                "extensions.access_loggers.file.v3.FileAccessLog",
                path=str(log),
                log_format={"text_format_source": {"inline_string": ACCESS_LOG}},
            ),
        }
    ]
    inspectors = [
        {"name": f"{name}_inspector", "typed_config": typed(f"extensions.filters.listener.{name}_inspector.v3.{kind}")}
        for name, kind in (("tls", "TlsInspector"), ("http", "HttpInspector"))
    ]

    def cluster(host, number, upstream):
        return {
            "name": f"outbound|{number}||{host}",
            "type": "STATIC",
            "connect_timeout": "10s",
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": 4294967295,
                        "max_pending_requests": 4294967295,
                        "max_requests": 4294967295,
                        "max_retries": 4294967295,
                    }
                ]
            },
            "load_assignment": {
                "cluster_name": f"outbound|{number}||{host}",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {
                                "endpoint": {
                                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
                                }
                            }
                        ]
                    }
                ],
            },
        }

    def virtual_host(host):
        retries = {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
            "num_retries": 2,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": typed(
                        "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                    ),
                }
            ],
            "host_selection_retry_max_attempts": 5,
        }
        route = {
            "name": "default",
            "match": {"prefix": "/"},
            "decorator": {"operation": f"{host}:80/*"},
            "route": {"cluster": f"outbound|80||{host}", "timeout": "0s", "retry_policy": retries},
        }
        return {"name": f"{host}:80", "domains": [host, f"{host}:80"], "routes": [route]}

    block = {
        "name": "block_all",
        "domains": ["*"],
        "routes": [{"name": "block_all", "match": {"prefix": "/"}, "direct_response": {"status": 502}}],
    }
    http_filters = [
        ("grpc_stats", "grpc_stats.v3.FilterConfig", {"emit_filter_state": True, "stats_for_all_methods": False}),
        ("fault", "fault.v3.HTTPFault", {}),
        ("cors", "cors.v3.Cors", {}),
        ("router", "router.v3.Router", {}),
    ]
    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="outbound_0.0.0.0_80",
        route_config={"name": "80", "virtual_hosts": [virtual_host(host) for host in hosts(measured)] + [block]},
        http_filters=[
            {"name": f"envoy.filters.http.{name}", "typed_config": typed(f"extensions.filters.http.{kind}", **fields)}
            for name, kind, fields in http_filters
        ],
        access_log=access_log,
        use_remote_address=False,
        normalize_path=True,
        generate_request_id=True,
    )

    def tcp(cluster_name):
        config = typed(
            "extensions.filters.network.tcp_proxy.v3.TcpProxy",
            stat_prefix=cluster_name,
            cluster=cluster_name,
            access_log=access_log,
        )
        return [{"name": "envoy.filters.network.tcp_proxy", "typed_config": config}]

    def address(address, number):
        return {"socket_address": {"address": address, "port_value": number}}

    listeners = [
        {
            "name": "virtualOutbound",
            "address": address("0.0.0.0", port),
            "use_original_dst": True,
            "filter_chains": [{"filters": tcp("BlackHoleCluster")}],
        },
        {
            "name": "0.0.0.0_80",
            "address": address("0.0.0.0", 80),
            "bind_to_port": False,
            "listener_filters": inspectors,
            "listener_filters_timeout": "0s",
            "continue_on_listener_filters_timeout": True,
            "filter_chains": [
                {
                    "filter_chain_match": {"application_protocols": ["http/1.1", "h2c"]},
                    "filters": [
                        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                    ],
                }
            ],
            "default_filter_chain": {"filters": tcp("BlackHoleCluster")},
        },
        {
            "name": "0.0.0.0_443",
            "address": address("0.0.0.0", 443),
            "bind_to_port": False,
            "listener_filters": inspectors[:1],
            "filter_chains": [
                {"filter_chain_match": {"server_names": [host]}, "filters": tcp(f"outbound|443||{host}")}
                for host in hosts(measured)
            ],
            "default_filter_chain": {"filters": tcp("BlackHoleCluster")},
        },
    ]
    clusters = [{"name": "BlackHoleCluster", "type": "STATIC"}]
    clusters += [cluster(host, 80, SITE_HTTP) for host in hosts(measured)]
    clusters += [cluster(host, 443, SITE_TLS) for host in hosts(measured)]
    path = directory / "envoy.json"
    path.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
    return path


def egret(directory: Path, measured: str) -> Path:
    """Writes the policy folder of Egret's sidecar."""
    folder = directory / "policy"
    folder.mkdir()
    (folder / "mesh.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
        "data:\n  mesh: |\n    outboundTrafficPolicy:\n      mode: REGISTRY_ONLY\n"
    )
    entries = []
    for number, host in enumerate(hosts(measured)):
        entries.append(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
            f"metadata: {{name: service-{number}, namespace: default}}\n"
            f"spec:\n  hosts: [{host}]\n  resolution: STATIC\n"
            "  ports:\n  - {number: 80, name: http, protocol: HTTP}\n  - {number: 443, name: tls, protocol: TLS}\n"
            f"  endpoints:\n  - {{address: 127.0.0.1, ports: {{http: {SITE_HTTP}, tls: {SITE_TLS}}}}}\n"
        )
    (folder / "services.yaml").write_text("---\n".join(entries))
    return folder


def site(directory: Path) -> Path:
    """Writes the configuration of the sites: nginx, 119 bytes over HTTP and over TLS."""
    path = directory / "nginx.conf"
    path.write_text(
        f"""user root; daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  ssl_certificate {directory}/site.crt; ssl_certificate_key {directory}/site.key; ssl_session_tickets off;
  server {{
    listen 127.0.0.1:{SITE_HTTP} backlog=4096; listen 127.0.0.1:{SITE_TLS} ssl backlog=4096;
    location / {{ default_type text/plain; return 200 "{"x" * 119}"; }}
  }}
}}
"""
    )
    return path
