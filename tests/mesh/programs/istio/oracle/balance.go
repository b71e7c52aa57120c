package main

import (
	"fmt"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// balance is how one of a cluster's endpoints is chosen.
type balance struct {
	Policy     string   `json:"policy"` // with the size of a table
	Warmup     *warmup  `json:"warmup,omitempty"`
	Outlier    *outlier `json:"outlier,omitempty"`
	Panic      uint32   `json:"panic"`       // percent
	ByLocality bool     `json:"by_locality"` // localities are weighted
	Places     []place  `json:"places,omitempty"`
}

// warmup is how an endpoint that is new gets its share step by step; Envoy's defaults where nothing is written.
type warmup struct {
	WindowMS   int64   `json:"window_ms"`
	Aggression float64 `json:"aggression"`
	Minimum    float64 `json:"minimum"` // percent
}

// outlier is when an endpoint is left out; Envoy's defaults where nothing is written.
type outlier struct {
	Errors     uint32 `json:"errors"`
	Gateway    uint32 `json:"gateway"`
	Local      uint32 `json:"local"`
	IntervalMS int64  `json:"interval_ms"`
	BaseMS     int64  `json:"base_ms"`
	Percent    uint32 `json:"percent"`
}

// place is where an endpoint is, and what it weighs.
type place struct {
	Name     string `json:"name"`
	Weight   uint32 `json:"weight"`
	Priority uint32 `json:"priority"`
	Locality string `json:"locality"`
	// Of its locality; told where localities are weighted.
	LocalityWeight uint32 `json:"locality_weight,omitempty"`
}

// upkeep is how connections are kept.
type upkeep struct {
	IdleMS     *int64 `json:"idle_ms,omitempty"`
	DurationMS *int64 `json:"duration_ms,omitempty"`
	Keepalive  string `json:"keepalive,omitempty"`
}

func balanceOf(found *cluster.Cluster) *balance {
	if found.GetLbPolicy() == cluster.Cluster_CLUSTER_PROVIDED {
		return nil
	}
	made := &balance{Policy: found.GetLbPolicy().String()}
	switch found.GetLbPolicy() {
	case cluster.Cluster_RING_HASH:
		made.Policy += fmt.Sprint(" ", or(found.GetRingHashLbConfig().GetMinimumRingSize().GetValue(), 1024))
	case cluster.Cluster_MAGLEV:
		made.Policy += fmt.Sprint(" ", or(found.GetMaglevLbConfig().GetTableSize().GetValue(), 65537))
	case cluster.Cluster_ROUND_ROBIN:
		made.Warmup = warmupOf(found.GetRoundRobinLbConfig().GetSlowStartConfig())
	case cluster.Cluster_LEAST_REQUEST:
		made.Warmup = warmupOf(found.GetLeastRequestLbConfig().GetSlowStartConfig())
	}
	if written := found.GetOutlierDetection(); written != nil {
		made.Outlier = outlierOf(written)
		made.Panic = uint32(found.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue())
	}
	made.ByLocality = found.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
	for _, locality := range found.GetLoadAssignment().GetEndpoints() {
		for _, endpoint := range locality.LbEndpoints {
			address := endpoint.GetEndpoint().GetAddress().GetSocketAddress()
			one := place{
				Name:     fmt.Sprintf("%s:%d", address.GetAddress(), address.GetPortValue()),
				Weight:   endpoint.GetLoadBalancingWeight().GetValue(),
				Priority: locality.Priority,
				Locality: localityOf(locality.Locality),
			}
			if made.ByLocality {
				one.LocalityWeight = locality.GetLoadBalancingWeight().GetValue()
			}
			made.Places = append(made.Places, one)
		}
	}
	return made
}

func warmupOf(written *cluster.Cluster_SlowStartConfig) *warmup {
	if written == nil {
		return nil
	}
	made := &warmup{WindowMS: written.GetSlowStartWindow().AsDuration().Milliseconds(), Aggression: 1, Minimum: 10}
	if value := written.GetAggression(); value != nil {
		made.Aggression = value.DefaultValue
	}
	if value := written.GetMinWeightPercent(); value != nil {
		made.Minimum = value.Value
	}
	return made
}

func outlierOf(written *cluster.OutlierDetection) *outlier {
	made := &outlier{Errors: 5, IntervalMS: 10_000, BaseMS: 30_000, Percent: 10}
	if value := written.GetConsecutive_5Xx(); value != nil {
		made.Errors = value.Value
	}
	if written.GetEnforcingConsecutiveGatewayFailure().GetValue() > 0 {
		made.Gateway = written.GetConsecutiveGatewayFailure().GetValue()
	}
	if written.GetSplitExternalLocalOriginErrors() {
		made.Local = uint32(or(uint64(written.GetConsecutiveLocalOriginFailure().GetValue()), 5))
	}
	if written.GetInterval() != nil {
		made.IntervalMS = written.GetInterval().AsDuration().Milliseconds()
	}
	if written.GetBaseEjectionTime() != nil {
		made.BaseMS = written.GetBaseEjectionTime().AsDuration().Milliseconds()
	}
	if value := written.GetMaxEjectionPercent(); value != nil {
		made.Percent = value.Value
	}
	return made
}

func localityOf(locality *core.Locality) string {
	parts := []string{locality.GetRegion(), locality.GetZone(), locality.GetSubZone()}
	return strings.TrimRight(strings.Join(parts, "/"), "/")
}

func or(value, other uint64) uint64 {
	if value == 0 {
		return other
	}
	return value
}

func upkeepOf(found *cluster.Cluster) upkeep {
	var made upkeep
	common := optionsOf(found).GetCommonHttpProtocolOptions()
	made.IdleMS = milliseconds(common.GetIdleTimeout())
	made.DurationMS = milliseconds(common.GetMaxConnectionDuration())
	if probes := found.GetUpstreamConnectionOptions().GetTcpKeepalive(); probes != nil {
		made.Keepalive = fmt.Sprint(probes.GetKeepaliveProbes().GetValue(), " probes, after ",
			probes.GetKeepaliveTime().GetValue(), " s, each ", probes.GetKeepaliveInterval().GetValue(), " s")
	}
	return made
}

func milliseconds(duration *durationpb.Duration) *int64 {
	if duration == nil {
		return nil
	}
	made := duration.AsDuration().Milliseconds()
	return &made
}

// hashesOf is what is hashed of a request.
func hashesOf(action *route.RouteAction) []string {
	var all []string
	for _, policy := range action.GetHashPolicy() {
		switch by := policy.GetPolicySpecifier().(type) {
		case *route.RouteAction_HashPolicy_Header_:
			all = append(all, "header "+by.Header.HeaderName)
		case *route.RouteAction_HashPolicy_Cookie_:
			cookie := by.Cookie
			text := fmt.Sprintf("cookie %s path %s", cookie.Name, cookie.Path)
			if ttl := milliseconds(cookie.Ttl); ttl != nil {
				text += fmt.Sprintf(" for %d ms", *ttl)
			}
			for _, attribute := range cookie.Attributes {
				text += fmt.Sprintf(" %s=%s", attribute.Name, attribute.Value)
			}
			all = append(all, text)
		case *route.RouteAction_HashPolicy_ConnectionProperties_:
			all = append(all, fmt.Sprint("source ", by.ConnectionProperties.SourceIp))
		case *route.RouteAction_HashPolicy_QueryParameter_:
			all = append(all, "parameter "+by.QueryParameter.Name)
		default:
			panic(fmt.Sprintf("hash policy %v: teach the oracle", policy))
		}
	}
	return all
}

// stream is how a stream is kept.
type stream struct {
	IdleMS     *int64 `json:"idle_ms,omitempty"`
	DurationMS *int64 `json:"duration_ms,omitempty"`
	BySource   bool   `json:"by_source,omitempty"`
	Tunnel     string `json:"tunnel,omitempty"` // method and target
}

func streamOf(proxy *tcp.TcpProxy) *stream {
	made := &stream{
		IdleMS:     milliseconds(proxy.GetIdleTimeout()),
		DurationMS: milliseconds(proxy.GetMaxDownstreamConnectionDuration()),
		BySource:   len(proxy.GetHashPolicy()) > 0,
	}
	if tunnel := proxy.GetTunnelingConfig(); tunnel != nil {
		made.Tunnel = "CONNECT " + tunnel.Hostname
		if tunnel.UsePost {
			made.Tunnel = "POST " + tunnel.Hostname
		}
	}
	return made
}
