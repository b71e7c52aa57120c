package main

import (
	"math"
	"net"
	"strconv"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dynamicproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	http "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v3 "istio.io/istio/pilot/pkg/xds/v3"
)

// target is one of the clusters that a route or stream is shared among.
type target struct {
	Cluster          string   `json:"cluster"`
	Weight           uint32   `json:"weight"`
	Kind             string   `json:"kind"` // dns, static, original_dst, dynamic_dns; empty where the cluster does not exist
	Names            []string `json:"names,omitempty"`
	PortOverride     uint32   `json:"port_override,omitempty"`
	ConnectTimeoutMS int64    `json:"connect_timeout_ms,omitempty"`
	HTTP             string   `json:"http"` // 1, 2, or the caller's
	TLS              *origin  `json:"tls,omitempty"`
	ProxyProtocol    string   `json:"proxy_protocol,omitempty"` // V1, V2
	Limits           limits   `json:"limits"`
	Balance          *balance `json:"balance,omitempty"` // absent: one of several by Istio's default
	Upkeep           upkeep   `json:"upkeep"`
	// Edits of this one of several.
	Host     string `json:"host,omitempty"`
	Request  *edits `json:"request_headers,omitempty"`
	Response *edits `json:"response_headers,omitempty"`
}

// origin is TLS towards the upstream; without a name, that of the request's host.
type origin struct {
	SNI string `json:"sni,omitempty"`
	// The certificate is verified at all; it has one of the names; it has the request's host.
	Verifies bool     `json:"verifies"`
	Names    []string `json:"names,omitempty"`
	OfHost   bool     `json:"of_host"`
	// Certificates of the sidecar's own file system: Istio's names of them, and the list of what is revoked.
	Files []string `json:"files,omitempty"`
}

// limits of what may go on at once; absent where there is none.
type limits struct {
	Connections           uint32 `json:"connections,omitempty"`
	Pending               uint32 `json:"pending,omitempty"`
	Requests              uint32 `json:"requests,omitempty"`
	Retries               uint32 `json:"retries,omitempty"`
	RequestsPerConnection uint32 `json:"requests_per_connection,omitempty"`
	Streams               uint32 `json:"streams,omitempty"`
	// Retries at once: a part of the requests, in millionths, and so many in any case.
	Budget *budget `json:"budget,omitempty"`
}

type budget struct {
	Share    uint32 `json:"share"`
	Minimum  uint32 `json:"minimum"`
	Interval int64  `json:"interval_ms,omitempty"`
}

func (c *configuration) routeTargets(action *route.RouteAction) []target {
	if weighted := action.GetWeightedClusters(); weighted != nil {
		var all []target
		for _, one := range weighted.Clusters {
			made := c.target(one.Name, one.GetWeight().GetValue())
			made.Host = one.GetHostRewriteLiteral()
			made.Request = editsOf(one.RequestHeadersToRemove, one.RequestHeadersToAdd)
			made.Response = editsOf(one.ResponseHeadersToRemove, one.ResponseHeadersToAdd)
			all = append(all, made)
		}
		return all
	}
	return []target{c.target(action.GetCluster(), 1)}
}

func (c *configuration) streamTargets(proxy *tcp.TcpProxy) []target {
	if weighted := proxy.GetWeightedClusters(); weighted != nil {
		var all []target
		for _, one := range weighted.Clusters {
			all = append(all, c.target(one.Name, one.Weight))
		}
		return all
	}
	return []target{c.target(proxy.GetCluster(), 1)}
}

func (c *configuration) target(name string, weight uint32) target {
	made := target{Cluster: name, Weight: weight}
	found, exists := c.clusters[name]
	if !exists {
		return made
	}
	made.HTTP = spokenIn(found)
	made.Limits = limitsOf(found)
	made.ConnectTimeoutMS = found.GetConnectTimeout().AsDuration().Milliseconds()
	made.PortOverride = found.GetOriginalDstLbConfig().GetUpstreamPortOverride().GetValue()
	switch found.GetType() {
	case cluster.Cluster_STRICT_DNS, cluster.Cluster_LOGICAL_DNS:
		made.Kind = "dns"
	case cluster.Cluster_ORIGINAL_DST:
		made.Kind = "original_dst"
	default:
		made.Kind = "static"
	}
	if found.GetClusterType() != nil {
		made.Kind = "dynamic_dns"
	}
	if made.Kind == "dns" {
		for _, locality := range found.GetLoadAssignment().GetEndpoints() {
			for _, endpoint := range locality.LbEndpoints {
				address := endpoint.GetEndpoint().GetAddress().GetSocketAddress()
				port := strconv.FormatUint(uint64(address.GetPortValue()), 10)
				made.Names = append(made.Names, net.JoinHostPort(address.GetAddress(), port))
			}
		}
	}
	made.Balance = balanceOf(found)
	made.Upkeep = upkeepOf(found)
	socket := found.GetTransportSocket()
	if matches := found.GetTransportSocketMatches(); len(matches) > 0 {
		// Where the mesh finds out who speaks its TLS: the last one is for endpoints that do not, as those outside of it.
		socket = matches[len(matches)-1].GetTransportSocket()
	}
	proxied := &proxyprotocol.ProxyProtocolUpstreamTransport{}
	if socket.GetTypedConfig().UnmarshalTo(proxied) == nil {
		made.ProxyProtocol = proxied.GetConfig().GetVersion().String()
		socket = proxied.GetTransportSocket()
	}
	context := &tls.UpstreamTlsContext{}
	if socket.GetTypedConfig().UnmarshalTo(context) == nil {
		made.TLS = originOf(found, context)
	}
	return made
}

// isRefused is whether Envoy takes no such cluster, which is then not there: one that resolves the hosts of requests, with
// options of HTTP, must verify certificates for these hosts unless it is told otherwise.
func isRefused(found *cluster.Cluster) bool {
	dynamic := &dynamicproxy.ClusterConfig{}
	if found.GetClusterType().GetTypedConfig().UnmarshalTo(dynamic) != nil || dynamic.AllowInsecureClusterOptions {
		return false
	}
	if _, has := found.GetTypedExtensionProtocolOptions()[v3.HttpProtocolOptionsType]; !has {
		return false
	}
	upstream := optionsOf(found).GetUpstreamHttpProtocolOptions()
	return !upstream.GetAutoSni() || !upstream.GetAutoSanValidation()
}

func spokenIn(found *cluster.Cluster) string {
	switch options := optionsOf(found); {
	case options.GetUseDownstreamProtocolConfig() != nil:
		return "the caller's"
	case options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
		return "2"
	default:
		return "1"
	}
}

// optionsOf are empty where there are none.
func optionsOf(found *cluster.Cluster) *http.HttpProtocolOptions {
	options := &http.HttpProtocolOptions{}
	if found.GetTypedExtensionProtocolOptions()[v3.HttpProtocolOptionsType].UnmarshalTo(options) != nil {
		return &http.HttpProtocolOptions{}
	}
	return options
}

func originOf(found *cluster.Cluster, context *tls.UpstreamTlsContext) *origin {
	made := &origin{
		SNI:    context.Sni,
		OfHost: optionsOf(found).GetUpstreamHttpProtocolOptions().GetAutoSanValidation(),
	}
	common := context.GetCommonTlsContext()
	if combined := common.GetCombinedValidationContext(); combined != nil {
		made.Verifies = true
		for _, match := range combined.GetDefaultValidationContext().GetMatchSubjectAltNames() { //nolint:staticcheck
			made.Names = append(made.Names, match.GetExact())
		}
		made.addFile(combined.GetValidationContextSdsSecretConfig().GetName())
		if revoked := combined.GetDefaultValidationContext().GetCrl().GetFilename(); revoked != "" {
			made.Files = append(made.Files, revoked)
		}
	}
	for _, certificate := range common.GetTlsCertificateSdsSecretConfigs() {
		made.addFile(certificate.GetName())
	}
	return made
}

// addFile leaves out what is no file: secrets by name, and what the system trusts.
func (o *origin) addFile(name string) {
	if strings.HasPrefix(name, "file-") && name != "file-root:system" {
		o.Files = append(o.Files, name)
	}
}

func limitsOf(found *cluster.Cluster) limits {
	var made limits
	for _, threshold := range found.GetCircuitBreakers().GetThresholds() {
		if threshold.Priority == core.RoutingPriority_DEFAULT {
			made.Connections = limit(threshold.GetMaxConnections())
			made.Pending = limit(threshold.GetMaxPendingRequests())
			made.Requests = limit(threshold.GetMaxRequests())
			made.Retries = limit(threshold.GetMaxRetries())
			if written := threshold.GetRetryBudget(); written != nil {
				made.Budget = &budget{
					Share:    uint32(written.GetBudgetPercent().GetValue() * 10_000),
					Minimum:  written.GetMinRetryConcurrency().GetValue(),
					Interval: written.GetBudgetInterval().AsDuration().Milliseconds(),
				}
			}
		}
	}
	options := optionsOf(found)
	made.RequestsPerConnection = limit(options.GetCommonHttpProtocolOptions().GetMaxRequestsPerConnection())
	made.Streams = limit(options.GetExplicitHttpConfig().GetHttp2ProtocolOptions().GetMaxConcurrentStreams())
	return made
}

// limit is 0 where Istio writes the largest number.
func limit(value *wrapperspb.UInt32Value) uint32 {
	if value.GetValue() == math.MaxUint32 {
		return 0
	}
	return value.GetValue()
}
