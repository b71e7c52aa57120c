package main

import (
	"fmt"
	"regexp"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// matched is the route that a request took.
type matched struct {
	Name      string    `json:"name,omitempty"`
	TimeoutMS int64     `json:"timeout_ms,omitempty"` // absent: no limit
	Retries   *retries  `json:"retries,omitempty"`
	Redirect  *redirect `json:"redirect,omitempty"`
	Operation string    `json:"operation,omitempty"` // the decorator's
	Hash      []string  `json:"hash,omitempty"`      // what is hashed, in its order
	Treatment treatment `json:"treatment"`
}

type retries struct {
	Attempts        uint32   `json:"attempts"`
	RetryOn         []string `json:"retry_on"`
	Statuses        []uint32 `json:"statuses,omitempty"`
	PerTryTimeoutMS int64    `json:"per_try_timeout_ms,omitempty"`
	BackOffMS       int64    `json:"back_off_ms,omitempty"` // absent: Envoy's default
	AvoidsPrevious  bool     `json:"avoids_previous,omitempty"`
}

type redirect struct {
	Status uint32 `json:"status"`
	Scheme string `json:"scheme,omitempty"`
	Host   string `json:"host,omitempty"`
	Port   uint32 `json:"port,omitempty"`
	Path   string `json:"path,omitempty"`
	Prefix string `json:"prefix,omitempty"` // takes the place of the matched prefix
}

// routeFor is the first route whose every condition holds.
func routeFor(host *route.VirtualHost, call *call) *route.Route {
	for _, candidate := range host.Routes {
		if fits(candidate.GetMatch(), call) {
			return candidate
		}
	}
	return nil
}

func fits(match *route.RouteMatch, call *call) bool {
	if call.Method == "CONNECT" {
		return match.GetConnectMatcher() != nil
	}
	path, query, _ := strings.Cut(call.Path, "?")
	fold := match.GetCaseSensitive() != nil && !match.GetCaseSensitive().GetValue()
	lower := func(text string) string {
		if fold {
			return strings.ToLower(text)
		}
		return text
	}
	switch by := match.GetPathSpecifier().(type) {
	case *route.RouteMatch_Prefix:
		if !strings.HasPrefix(lower(path), lower(by.Prefix)) {
			return false
		}
	case *route.RouteMatch_Path:
		if lower(path) != lower(by.Path) {
			return false
		}
	case *route.RouteMatch_PathSeparatedPrefix:
		rest, fits := strings.CutPrefix(lower(path), lower(by.PathSeparatedPrefix))
		if !fits || rest != "" && rest[0] != '/' {
			return false
		}
	case *route.RouteMatch_SafeRegex:
		if !whole(by.SafeRegex.GetRegex(), path) {
			return false
		}
	default:
		return false
	}
	for _, condition := range match.GetHeaders() {
		if !headerFits(condition, call) {
			return false
		}
	}
	for _, condition := range match.GetQueryParameters() {
		value, present := parameter(query, condition.Name)
		if !present {
			return false
		}
		if text := condition.GetStringMatch(); text != nil && !textFits(text, value) {
			return false
		}
	}
	return true
}

func headerFits(condition *route.HeaderMatcher, call *call) bool {
	value, present := header(call, condition.Name)
	switch by := condition.GetHeaderMatchSpecifier().(type) {
	case nil:
		return present != condition.InvertMatch
	case *route.HeaderMatcher_PresentMatch:
		return (present == by.PresentMatch) != condition.InvertMatch
	case *route.HeaderMatcher_StringMatch:
		if !present && !condition.TreatMissingHeaderAsEmpty {
			return false
		}
		return textFits(by.StringMatch, value) != condition.InvertMatch
	case *route.HeaderMatcher_SafeRegexMatch:
		if !present && !condition.TreatMissingHeaderAsEmpty {
			return false
		}
		return whole(by.SafeRegexMatch.GetRegex(), value) != condition.InvertMatch
	}
	panic(fmt.Sprintf("header matcher %v: teach the oracle", condition))
}

func header(call *call, name string) (string, bool) {
	switch strings.ToLower(name) {
	case ":method":
		return call.Method, true
	case ":authority":
		return call.Host, true
	case ":scheme":
		return "http", true
	}
	value, present := call.Headers[strings.ToLower(name)]
	return value, present
}

func parameter(query, name string) (string, bool) {
	for _, pair := range strings.Split(query, "&") {
		if key, value, _ := strings.Cut(pair, "="); key == name && pair != "" {
			return value, true
		}
	}
	return "", false
}

func textFits(by *matcher.StringMatcher, text string) bool {
	lower := func(text string) string {
		if by.IgnoreCase {
			return strings.ToLower(text)
		}
		return text
	}
	switch pattern := by.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return lower(text) == lower(pattern.Exact)
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(lower(text), lower(pattern.Prefix))
	case *matcher.StringMatcher_Suffix:
		return strings.HasSuffix(lower(text), lower(pattern.Suffix))
	case *matcher.StringMatcher_Contains:
		return strings.Contains(lower(text), lower(pattern.Contains))
	case *matcher.StringMatcher_SafeRegex:
		return whole(pattern.SafeRegex.GetRegex(), text)
	}
	panic(fmt.Sprintf("string matcher %v: teach the oracle", by))
}

// whole is RE2's full match, as Envoy asks for it.
func whole(pattern, text string) bool {
	compiled, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return err == nil && compiled.MatchString(text)
}

// act tells what the route does.
func (c *configuration) act(found *route.Route, call *call, a *answer) {
	a.Route = &matched{
		Name:      found.Name,
		Operation: found.GetDecorator().GetOperation(),
		Treatment: c.treatmentOf(found, call),
	}
	switch action := found.GetAction().(type) {
	case *route.Route_DirectResponse:
		a.Status, a.Details = action.DirectResponse.Status, "direct_response"
		a.Body = action.DirectResponse.GetBody().GetInlineString()
	case *route.Route_Redirect:
		a.Details = "direct_response"
		a.Route.Redirect = redirectOf(action.Redirect)
		a.Status = a.Route.Redirect.Status
	case *route.Route_Route:
		a.Route.TimeoutMS = action.Route.GetTimeout().AsDuration().Milliseconds()
		a.Route.Retries = retriesOf(action.Route.GetRetryPolicy())
		a.Clusters = c.routeTargets(action.Route)
		a.Route.Hash = hashesOf(action.Route)
	default:
		// A route without an action answers nothing.
		a.Status, a.Details = 404, "route_not_found"
	}
}

func redirectOf(by *route.RedirectAction) *redirect {
	status := map[route.RedirectAction_RedirectResponseCode]uint32{
		route.RedirectAction_MOVED_PERMANENTLY:  301,
		route.RedirectAction_FOUND:              302,
		route.RedirectAction_SEE_OTHER:          303,
		route.RedirectAction_TEMPORARY_REDIRECT: 307,
		route.RedirectAction_PERMANENT_REDIRECT: 308,
	}
	scheme := by.GetSchemeRedirect()
	if by.GetHttpsRedirect() {
		scheme = "https"
	}
	return &redirect{
		Status: status[by.ResponseCode],
		Scheme: scheme,
		Host:   by.HostRedirect,
		Port:   by.PortRedirect,
		Path:   by.GetPathRedirect(),
		Prefix: by.GetPrefixRewrite(),
	}
}

func retriesOf(policy *route.RetryPolicy) *retries {
	if policy == nil {
		return nil
	}
	return &retries{
		Attempts:        policy.GetNumRetries().GetValue(),
		RetryOn:         strings.Split(policy.RetryOn, ","),
		Statuses:        policy.RetriableStatusCodes,
		PerTryTimeoutMS: policy.GetPerTryTimeout().AsDuration().Milliseconds(),
		BackOffMS:       policy.GetRetryBackOff().GetBaseInterval().AsDuration().Milliseconds(),
		AvoidsPrevious:  len(policy.RetryHostPredicate) > 0,
	}
}
