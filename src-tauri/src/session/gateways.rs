//! Gateways and what goes through them, the ones that traffic leaves by first.

use proxy_core::policy::{self, GatewayRoute, GatewayUse};

use super::View;
use crate::dto::{GatewayRouteRow, GatewayRow, GatewayServerRow};

/// Every Gateway.
pub fn gateways(view: &View) -> Vec<GatewayRow> {
    let mut rows: Vec<_> = policy::gateways(view.world()).iter().map(row).collect();
    rows.sort_by_key(|row| !row.egress);
    rows
}

fn row(found: &GatewayUse<'_>) -> GatewayRow {
    let gateway = found.gateway;
    let servers = gateway.spec.servers.iter().map(|server| GatewayServerRow {
        port: server.port,
        protocol: server.protocol.clone(),
        tls_mode: server.tls_mode.clone(),
        hosts: server.hosts.iter().map(ToString::to_string).collect(),
        line: server.line,
    });
    let workloads = found.workloads.iter();
    let services = found.services.iter();
    GatewayRow {
        object: (&gateway.reference("Gateway", 0)).into(),
        egress: found.is_egress(),
        selector: gateway.spec.selector.clone().into_iter().collect(),
        servers: servers.collect(),
        workloads: workloads
            .map(|workload| format!("{}/{}", workload.meta.namespace, workload.meta.name))
            .collect(),
        services: services
            .map(|service| (&service.reference("Service", 0)).into())
            .collect(),
        routes: found.routes.iter().map(route).collect(),
    }
}

fn route(route: &GatewayRoute<'_>) -> GatewayRouteRow {
    let to = |(host, port): &(String, Option<u16>)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    GatewayRouteRow {
        host: route.host.to_string(),
        virtual_service: (&route.virtual_service.reference("VirtualService", route.line)).into(),
        ports: route.ports.clone(),
        from_mesh: route.from_mesh > 0,
        onward: route.onward.iter().map(to).collect(),
    }
}
