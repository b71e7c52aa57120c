package main

import (
	"net/netip"
	"reflect"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/wellknown"
)

// This is Envoy's choice within a configuration, after its documentation of FilterChainMatch, VirtualHost and RouteMatch.
// Istio's own simulation (pilot/pkg/simulation) approximates it: it keeps every matching range and name where Envoy keeps
// the most specific one, and compares paths only.

// answer is what becomes of a call, in Envoy's words.
type answer struct {
	Listener    string   `json:"listener"`
	Refused     string   `json:"refused,omitempty"` // why there is no answer: Envoy would not take what Istio made
	Chance      bool     `json:"chance,omitempty"`  // another run of Istio gives another answer
	Chain       string   `json:"chain,omitempty"`   // name of the filter chain, where it has one
	HTTP        bool     `json:"http"`              // an HTTP connection manager takes it
	GRPCWeb     bool     `json:"grpc_web,omitempty"` // the manager makes gRPC-Web into gRPC
	RouteConfig string   `json:"route_config,omitempty"`
	VirtualHost string   `json:"virtual_host,omitempty"`
	Status      uint32   `json:"status,omitempty"` // of a local reply
	Details     string   `json:"details,omitempty"`
	Body        string   `json:"body,omitempty"`
	Route       *matched `json:"route,omitempty"`
	Clusters    []target `json:"clusters,omitempty"`
	Stream      *stream  `json:"stream,omitempty"` // how a byte stream is kept
}

func (c *configuration) decide(call *call) answer {
	first := c.decideBy(c.routes[0], call)
	for _, tables := range c.routes[1:] {
		if another := c.decideBy(tables, call); !reflect.DeepEqual(first, another) {
			return answer{Listener: first.Listener, Chance: true}
		}
	}
	return first
}

func (c *configuration) decideBy(tables routeTables, call *call) answer {
	l := c.listener(call)
	if l == nil {
		return answer{}
	}
	a := answer{Listener: l.Name}
	if a.Refused = refusal(l); a.Refused != "" {
		return a
	}
	chain := chainFor(l, call)
	if chain == nil {
		a.Details = "filter_chain_not_found"
		return a
	}
	a.Chain = chain.Name
	for _, filter := range chain.Filters {
		switch filter.Name {
		case wellknown.TCPProxy:
			proxy := &tcp.TcpProxy{}
			if filter.GetTypedConfig().UnmarshalTo(proxy) == nil {
				a.Clusters = c.streamTargets(proxy)
				a.Stream = streamOf(proxy)
			}
			return a
		case wellknown.HTTPConnectionManager:
			manager := &hcm.HttpConnectionManager{}
			if filter.GetTypedConfig().UnmarshalTo(manager) == nil {
				c.request(tables, manager, call, &a)
			}
			return a
		}
	}
	return a
}

// listener finds the listener as original destination does: the very address, else the wildcard one, else the one that
// the connection was redirected to.
func (c *configuration) listener(call *call) *listener.Listener {
	var wildcard, capture *listener.Listener
	for _, l := range c.listeners {
		if l.Name == model.VirtualOutboundListenerName {
			capture = l
		}
		for _, address := range addresses(l) {
			if address.GetPortValue() != call.Port {
				continue
			}
			switch address.GetAddress() {
			case call.Address:
				return l
			case "0.0.0.0":
				wildcard = l
			}
		}
	}
	// The capture port itself is a wildcard listener too: virtualOutbound.
	if wildcard != nil {
		return wildcard
	}
	return capture
}

func addresses(l *listener.Listener) []*core.SocketAddress {
	found := []*core.SocketAddress{l.GetAddress().GetSocketAddress()}
	for _, extra := range l.AdditionalAddresses {
		found = append(found, extra.GetAddress().GetSocketAddress())
	}
	return found
}

// conditions is one combination of what a filter chain asks for.
type conditions struct {
	port                  uint32
	addresses             netip.Prefix // invalid: any
	name, transport, alpn string
}

// combinations spells out a chain's match: Envoy keys each of its lists separately.
func combinations(match *listener.FilterChainMatch) []conditions {
	all := []conditions{{port: match.GetDestinationPort().GetValue(), transport: match.GetTransportProtocol()}}
	multiply := func(values int, set func(*conditions, int)) {
		if values == 0 {
			return
		}
		var more []conditions
		for _, one := range all {
			for i := range values {
				set(&one, i)
				more = append(more, one)
			}
		}
		all = more
	}
	ranges, names, alpns := match.GetPrefixRanges(), match.GetServerNames(), match.GetApplicationProtocols()
	multiply(len(ranges), func(one *conditions, i int) { one.addresses = prefix(ranges[i]) })
	multiply(len(names), func(one *conditions, i int) { one.name = strings.TrimPrefix(strings.ToLower(names[i]), "*") })
	multiply(len(alpns), func(one *conditions, i int) { one.alpn = alpns[i] })
	return all
}

func prefix(from *core.CidrRange) netip.Prefix {
	address, err := netip.ParseAddr(from.AddressPrefix)
	if err != nil {
		return netip.Prefix{}
	}
	made, _ := address.Prefix(int(from.GetPrefixLen().GetValue()))
	return made
}

// refusal says why Envoy would not take the listener: two chains that ask for the same, or a wildcard it does not know.
func refusal(l *listener.Listener) string {
	seen := map[conditions]bool{}
	for _, chain := range l.FilterChains {
		for _, name := range chain.GetFilterChainMatch().GetServerNames() {
			if strings.Contains(strings.TrimPrefix(name, "*."), "*") {
				return "partial wildcards are not supported in server_names"
			}
		}
		own := map[conditions]bool{}
		for _, one := range combinations(chain.GetFilterChainMatch()) {
			if seen[one] || own[one] {
				return "filter chains with overlapping matching rules"
			}
			own[one] = true
		}
		for one := range own {
			seen[one] = true
		}
	}
	return ""
}

// chainFor narrows the chains down step by step, keeping the most specific group of each, and never goes back.
func chainFor(l *listener.Listener, call *call) *listener.FilterChain {
	type candidate struct {
		conditions
		chain *listener.FilterChain
	}
	var left []candidate
	for _, chain := range l.FilterChains {
		for _, one := range combinations(chain.GetFilterChainMatch()) {
			left = append(left, candidate{one, chain})
		}
	}
	// keep leaves those with the best rank; no rank at all is none of them.
	keep := func(rank func(conditions) (int, bool)) {
		best, kept := -1, []candidate(nil)
		for _, one := range left {
			at, fits := rank(one.conditions)
			if !fits || at < best {
				continue
			}
			if at > best {
				best, kept = at, nil
			}
			kept = append(kept, one)
		}
		left = kept
	}
	exactly := func(field func(conditions) string, want string) func(conditions) (int, bool) {
		return func(one conditions) (int, bool) {
			if field(one) == "" {
				return 0, true
			}
			return 1, field(one) == want
		}
	}
	transport, alpn, name := inspect(l, call)
	destination, _ := netip.ParseAddr(call.Address)
	keep(func(one conditions) (int, bool) {
		if one.port == 0 {
			return 0, true
		}
		return 1, one.port == call.Port
	})
	keep(func(one conditions) (int, bool) {
		if !one.addresses.IsValid() {
			return 0, true
		}
		return 1 + one.addresses.Bits(), one.addresses.Contains(destination)
	})
	keep(func(one conditions) (int, bool) {
		switch {
		case one.name == "":
			return 0, true
		case name == "":
			return 0, false
		case one.name == name:
			// Also a name that begins with a dot: wildcards stand without their star in the same map.
			return len(name) + 1, true
		}
		return len(one.name), one.name[0] == '.' && len(name) > len(one.name) && strings.HasSuffix(name, one.name)
	})
	keep(exactly(func(one conditions) string { return one.transport }, transport))
	keep(exactly(func(one conditions) string { return one.alpn }, alpn))
	if len(left) > 0 {
		return left[0].chain
	}
	return l.DefaultFilterChain
}

// inspect is what the listener filters say of a connection: transport, application protocol, server name.
func inspect(l *listener.Listener, call *call) (transport, alpn, name string) {
	transport = "raw_buffer"
	for _, filter := range l.ListenerFilters {
		// On the outbound side every filter holds for all ports.
		switch filter.Name {
		case wellknown.TLSInspector:
			if call.Protocol == "tls" {
				transport, name = "tls", strings.ToLower(call.SNI)
			}
		case wellknown.HTTPInspector:
			switch call.Protocol {
			case "http":
				alpn = "http/1.1"
			case "http1.0":
				alpn = "http/1.0"
			case "http2":
				alpn = "h2c"
			}
		}
	}
	return transport, alpn, name
}

// request is what an HTTP connection manager makes of the call.
func (c *configuration) request(tables routeTables, manager *hcm.HttpConnectionManager, call *call, a *answer) {
	a.HTTP = true
	if !strings.HasPrefix(call.Protocol, "http") {
		a.Status, a.Details = 400, "http1.codec_error"
		return
	}
	for _, filter := range manager.GetHttpFilters() {
		a.GRPCWeb = a.GRPCWeb || filter.Name == wellknown.GRPCWeb
	}
	table := manager.GetRouteConfig()
	if table == nil {
		a.RouteConfig = manager.GetRds().GetRouteConfigName()
		table = tables[a.RouteConfig]
	} else {
		a.RouteConfig = table.Name
	}
	if actionless(table) {
		a.Refused = "a route has no action"
		return
	}
	host := virtualHost(table, call.Host)
	if host == nil {
		a.Status, a.Details = 404, "route_not_found"
		return
	}
	a.VirtualHost = host.Name
	found := routeFor(host, call)
	if found == nil {
		a.Status, a.Details = 404, "route_not_found"
		return
	}
	c.act(found, call, a)
}

// actionless tells whether some route does nothing at all, for which Envoy 1.40 refuses the whole table: Istio makes such
// routes of redirects with a code that Envoy cannot send.
func actionless(table *route.RouteConfiguration) bool {
	for _, host := range table.GetVirtualHosts() {
		for _, one := range host.GetRoutes() {
			if one.GetAction() == nil {
				return true
			}
		}
	}
	return false
}

// virtualHost finds the most specific domain for the authority, whose port the tables of outbound ports ignore.
func virtualHost(table *route.RouteConfiguration, authority string) *route.VirtualHost {
	host := strings.ToLower(authority)
	if table.GetIgnorePortInHostMatching() {
		if colon := strings.LastIndex(host, ":"); colon >= 0 && !strings.Contains(host[colon:], "]") {
			host = host[:colon]
		}
	}
	var best *route.VirtualHost
	specific := -1
	offer := func(vh *route.VirtualHost, rank int) {
		if rank > specific {
			best, specific = vh, rank
		}
	}
	// Any exact domain beats any suffix, any suffix any prefix, and all beat `*`.
	const exact, suffix, prefix = 3 << 16, 2 << 16, 1 << 16
	for _, vh := range table.GetVirtualHosts() {
		for _, domain := range vh.Domains {
			domain := strings.ToLower(domain)
			switch {
			case domain == "*":
				offer(vh, 0)
			case strings.HasPrefix(domain, "*"):
				if len(host) >= len(domain) && strings.HasSuffix(host, domain[1:]) {
					offer(vh, suffix+len(domain))
				}
			case strings.HasSuffix(domain, "*"):
				if len(host) >= len(domain) && strings.HasPrefix(host, domain[:len(domain)-1]) {
					offer(vh, prefix+len(domain))
				}
			case domain == host:
				offer(vh, exact)
			}
		}
	}
	return best
}
