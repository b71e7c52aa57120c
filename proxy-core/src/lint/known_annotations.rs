//! The annotations that Istio knows, the kinds that each is for, and whether it is deprecated: `istio.io/api`,
//! `annotation/annotations.gen.go`.

/// One of them.
pub(super) struct Known {
    /// Its key.
    pub key: &'static str,
    /// The kinds it is for, in Istio's order, with commas between them; `Any` for all.
    pub kinds: &'static str,
    /// It may go in a release to come.
    pub deprecated: bool,
}

/// The annotation called `key`, where Istio knows one.
pub(super) fn known(key: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.key == key)
}

const fn known_for(kinds: &'static str, key: &'static str) -> Known {
    Known {
        key,
        kinds,
        deprecated: false,
    }
}

const fn deprecated_for(kinds: &'static str, key: &'static str) -> Known {
    Known {
        key,
        kinds,
        deprecated: true,
    }
}

const KNOWN: [Known; 68] = [
    deprecated_for("Service", "alpha.istio.io/canonical-serviceaccounts"),
    deprecated_for("Service", "alpha.istio.io/kubernetes-serviceaccounts"),
    known_for("Pod", "ambient.istio.io/bypass-inbound-capture"),
    known_for("Pod", "ambient.istio.io/dns-capture"),
    known_for("Pod", "ambient.istio.io/redirection"),
    known_for("GatewayClass, Gateway", "ambient.istio.io/waypoint-inbound-binding"),
    known_for("Any", "galley.istio.io/analyze-suppress"),
    known_for("Any", "gateway.istio.io/controller-version"),
    known_for("Gateway", "gateway.istio.io/name-override"),
    known_for("Gateway", "gateway.istio.io/service-account"),
    known_for("Pod", "inject.istio.io/templates"),
    known_for("WorkloadEntry", "istio.io/autoRegistrationGroup"),
    known_for("WorkloadEntry", "istio.io/connectedAt"),
    known_for("WorkloadEntry", "istio.io/disconnectedAt"),
    known_for("AuthorizationPolicy", "istio.io/dry-run"),
    known_for("Pod", "istio.io/reroute-virtual-interfaces"),
    known_for("Pod", "istio.io/rev"),
    known_for(
        "Service, ServiceEntry, Namespace",
        "istio.io/use-waypoint-canary-weight",
    ),
    known_for("WorkloadEntry", "istio.io/workloadController"),
    known_for("Ingress", "kubernetes.io/ingress.class"),
    known_for("Service", "networking.istio.io/exportTo"),
    known_for("Gateway", "networking.istio.io/service-type"),
    known_for(
        "Namespace, Service, ServiceEntry",
        "networking.istio.io/traffic-distribution",
    ),
    known_for("Pod", "prometheus.istio.io/merge-metrics"),
    known_for("Pod", "proxy.istio.io/config"),
    known_for("Pod", "proxy.istio.io/overrides"),
    known_for("Pod", "readiness.status.sidecar.istio.io/applicationPorts"),
    known_for("Pod", "readiness.status.sidecar.istio.io/failureThreshold"),
    known_for("Pod", "readiness.status.sidecar.istio.io/initialDelaySeconds"),
    known_for("Pod", "readiness.status.sidecar.istio.io/periodSeconds"),
    known_for("Pod", "sidecar.istio.io/agentLogLevel"),
    known_for("Pod", "sidecar.istio.io/bootstrapOverride"),
    known_for("Pod", "sidecar.istio.io/componentLogLevel"),
    deprecated_for("Pod", "sidecar.istio.io/discoveryAddress"),
    deprecated_for("Pod", "sidecar.istio.io/extraStatTags"),
    deprecated_for("Pod", "sidecar.istio.io/inject"),
    known_for("Pod", "sidecar.istio.io/interceptionMode"),
    known_for("Pod", "sidecar.istio.io/logLevel"),
    known_for("Pod", "sidecar.istio.io/nativeSidecar"),
    known_for("Pod", "sidecar.istio.io/proxyCPU"),
    known_for("Pod", "sidecar.istio.io/proxyCPULimit"),
    known_for("Pod", "sidecar.istio.io/proxyImage"),
    known_for("Pod", "sidecar.istio.io/proxyImageType"),
    known_for("Pod", "sidecar.istio.io/proxyMemory"),
    known_for("Pod", "sidecar.istio.io/proxyMemoryLimit"),
    known_for("Pod", "sidecar.istio.io/rewriteAppHTTPProbers"),
    deprecated_for("Pod", "sidecar.istio.io/statsCompression"),
    known_for("Pod", "sidecar.istio.io/statsEvictionInterval"),
    known_for("Pod", "sidecar.istio.io/statsFlushInterval"),
    known_for("Pod", "sidecar.istio.io/statsHistogramBins"),
    known_for("Pod", "sidecar.istio.io/statsHistogramBuckets"),
    deprecated_for("Pod", "sidecar.istio.io/statsInclusionPrefixes"),
    deprecated_for("Pod", "sidecar.istio.io/statsInclusionRegexps"),
    deprecated_for("Pod", "sidecar.istio.io/statsInclusionSuffixes"),
    known_for("Pod", "sidecar.istio.io/status"),
    known_for("Pod", "sidecar.istio.io/userVolume"),
    known_for("Pod", "sidecar.istio.io/userVolumeMount"),
    known_for("Pod", "status.sidecar.istio.io/port"),
    known_for("Namespace", "topology.istio.io/controlPlaneClusters"),
    known_for("Service", "traffic.istio.io/nodeSelector"),
    known_for("Pod", "traffic.sidecar.istio.io/excludeInboundPorts"),
    known_for("Pod", "traffic.sidecar.istio.io/excludeInterfaces"),
    known_for("Pod", "traffic.sidecar.istio.io/excludeOutboundIPRanges"),
    known_for("Pod", "traffic.sidecar.istio.io/excludeOutboundPorts"),
    known_for("Pod", "traffic.sidecar.istio.io/includeInboundPorts"),
    known_for("Pod", "traffic.sidecar.istio.io/includeOutboundIPRanges"),
    known_for("Pod", "traffic.sidecar.istio.io/includeOutboundPorts"),
    deprecated_for("Pod", "traffic.sidecar.istio.io/kubevirtInterfaces"),
];
