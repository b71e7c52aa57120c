package main

import (
	"regexp"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"istio.io/istio/pkg/wellknown"
)

// treatment is what a route does to a request and its response beside where it sends it.
type treatment struct {
	Path     string   `json:"path,omitempty"` // that is sent, where it is another one
	Host     string   `json:"host,omitempty"`
	Request  *edits   `json:"request_headers,omitempty"`
	Response *edits   `json:"response_headers,omitempty"`
	Fault    *faults  `json:"fault,omitempty"`
	Mirrors  []mirror `json:"mirrors,omitempty"`
	CORS     *origins `json:"cors,omitempty"`
}

// edits of header lines, in the order in which Envoy makes them.
type edits struct {
	Remove []string    `json:"remove"`
	Set    [][2]string `json:"set"`
	Add    [][2]string `json:"add"`
}

// faults of some requests; shares are in millionths.
type faults struct {
	DelayMS    int64  `json:"delay_ms,omitempty"`
	Delayed    uint32 `json:"delayed,omitempty"`
	AbortsWith uint32 `json:"aborts_with,omitempty"`
	Aborted    uint32 `json:"aborted,omitempty"`
}

type mirror struct {
	Cluster string `json:"cluster"`
	Exists  bool   `json:"exists"`
	Share   uint32 `json:"share"`
}

type origins struct {
	Allowed          [][2]string `json:"allowed"` // how it matches, and what
	Methods          string      `json:"methods"`
	Headers          string      `json:"headers"`
	Exposed          string      `json:"exposed"`
	MaxAge           string      `json:"max_age"`
	Credentials      bool        `json:"credentials"`
	IgnoresUnmatched bool        `json:"ignores_unmatched"`
}

func (c *configuration) treatmentOf(found *route.Route, call *call) treatment {
	made := treatment{
		Response: editsOf(found.ResponseHeadersToRemove, found.ResponseHeadersToAdd),
		Fault:    faultsOf(found),
	}
	action := found.GetRoute()
	if action == nil {
		return made
	}
	made.Request = editsOf(found.RequestHeadersToRemove, found.RequestHeadersToAdd)
	made.Host = action.GetHostRewriteLiteral()
	made.Path = rewritten(found.GetMatch(), action, call.Path)
	for _, policy := range action.RequestMirrorPolicies {
		made.Mirrors = append(made.Mirrors, mirror{
			Cluster: policy.Cluster,
			Exists:  c.target(policy.Cluster, 1).Kind != "",
			Share:   millionths(policy.GetRuntimeFraction().GetDefaultValue()),
		})
	}
	made.CORS = originsOf(found)
	return made
}

func editsOf(remove []string, lines []*core.HeaderValueOption) *edits {
	if len(remove) == 0 && len(lines) == 0 {
		return nil
	}
	made := &edits{Remove: append([]string{}, remove...), Set: [][2]string{}, Add: [][2]string{}}
	for _, line := range lines {
		pair := [2]string{line.GetHeader().GetKey(), line.GetHeader().GetValue()}
		switch line.AppendAction {
		case core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
			made.Set = append(made.Set, pair)
		case core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
			made.Add = append(made.Add, pair)
		default:
			panic("header append action " + line.AppendAction.String() + ": teach the oracle")
		}
	}
	return made
}

// rewritten is the path that is sent, after Envoy's documentation of prefix_rewrite and regex_rewrite; empty where it is
// not rewritten.
func rewritten(match *route.RouteMatch, action *route.RouteAction, whole string) string {
	path, query, asks := strings.Cut(whole, "?")
	if asks {
		query = "?" + query
	}
	if by := action.GetRegexRewrite(); by != nil {
		compiled, err := regexp.Compile(by.GetPattern().GetRegex())
		if err != nil {
			return ""
		}
		return compiled.ReplaceAllString(path, substitution(by.Substitution)) + query
	}
	uri := action.PrefixRewrite
	if uri == "" {
		return ""
	}
	if by, isPrefix := match.GetPathSpecifier().(*route.RouteMatch_Prefix); isPrefix {
		return uri + path[len(by.Prefix):] + query
	}
	return uri + query
}

// substitution is RE2's in the words of Go.
func substitution(text string) string {
	var made strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '$':
			made.WriteString("$$")
		case text[i] != '\\':
			made.WriteByte(text[i])
		case i+1 < len(text):
			i++
			if text[i] >= '0' && text[i] <= '9' {
				made.WriteString("${" + text[i:i+1] + "}")
			} else {
				made.WriteByte(text[i])
			}
		}
	}
	return made.String()
}

// faultsOf leaves out what holds for no request.
func faultsOf(found *route.Route) *faults {
	config, present := found.GetTypedPerFilterConfig()[wellknown.Fault]
	if !present {
		return nil
	}
	by, made := &fault.HTTPFault{}, faults{}
	if config.UnmarshalTo(by) != nil {
		return nil
	}
	if share := millionths(by.GetDelay().GetPercentage()); share > 0 {
		made.DelayMS, made.Delayed = by.GetDelay().GetFixedDelay().AsDuration().Milliseconds(), share
	}
	if share := millionths(by.GetAbort().GetPercentage()); share > 0 {
		made.AbortsWith, made.Aborted = by.GetAbort().GetHttpStatus(), share
		if _, isGRPC := by.GetAbort().GetErrorType().(*fault.FaultAbort_GrpcStatus); isGRPC {
			made.AbortsWith = 200 // a status of gRPC stands in its own header
		}
	}
	if made == (faults{}) {
		return nil
	}
	return &made
}

func originsOf(found *route.Route) *origins {
	config, present := found.GetTypedPerFilterConfig()[wellknown.CORS]
	if !present {
		return nil
	}
	by := &cors.CorsPolicy{}
	if config.UnmarshalTo(by) != nil {
		return nil
	}
	made := &origins{
		Allowed:          [][2]string{},
		Methods:          by.AllowMethods,
		Headers:          by.AllowHeaders,
		Exposed:          by.ExposeHeaders,
		MaxAge:           by.MaxAge,
		Credentials:      by.GetAllowCredentials().GetValue(),
		IgnoresUnmatched: !by.GetForwardNotMatchingPreflights().GetValue(),
	}
	for _, origin := range by.AllowOriginStringMatch {
		switch text := origin.GetMatchPattern().(type) {
		case *matcher.StringMatcher_Exact:
			made.Allowed = append(made.Allowed, [2]string{"exact", text.Exact})
		case *matcher.StringMatcher_Prefix:
			made.Allowed = append(made.Allowed, [2]string{"prefix", text.Prefix})
		case *matcher.StringMatcher_SafeRegex:
			made.Allowed = append(made.Allowed, [2]string{"regex", text.SafeRegex.GetRegex()})
		}
	}
	return made
}

func millionths(share *envoytype.FractionalPercent) uint32 {
	switch share.GetDenominator() {
	case envoytype.FractionalPercent_HUNDRED:
		return share.GetNumerator() * 10_000
	case envoytype.FractionalPercent_TEN_THOUSAND:
		return share.GetNumerator() * 100
	}
	return share.GetNumerator()
}
