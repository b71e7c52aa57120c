package main

import (
	"net"
	"strconv"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// target is one of the clusters that a route or stream is shared among.
type target struct {
	Cluster          string   `json:"cluster"`
	Weight           uint32   `json:"weight"`
	Kind             string   `json:"kind"` // dns, static, original_dst, dynamic_dns; empty where the cluster does not exist
	Names            []string `json:"names,omitempty"`
	PortOverride     uint32   `json:"port_override,omitempty"`
	ConnectTimeoutMS int64    `json:"connect_timeout_ms,omitempty"`
	TLS              *origin  `json:"tls,omitempty"`
	// Edits of this one of several.
	Host     string `json:"host,omitempty"`
	Request  *edits `json:"request_headers,omitempty"`
	Response *edits `json:"response_headers,omitempty"`
}

// origin is TLS towards the upstream; without a name, that of the request's host.
type origin struct {
	SNI string `json:"sni,omitempty"`
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
	context := &tls.UpstreamTlsContext{}
	if found.GetTransportSocket().GetTypedConfig().UnmarshalTo(context) == nil {
		made.TLS = &origin{SNI: context.Sni}
	}
	return made
}
