package main

import (
	"encoding/json"
	"fmt"
	"sync/atomic"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/networking/util"
	kubeservice "istio.io/istio/pilot/pkg/serviceregistry/kube"
	"istio.io/istio/pilot/pkg/serviceregistry/util/label"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	"istio.io/istio/pkg/config"
	validation "istio.io/istio/pkg/config/crd"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	pm "istio.io/istio/pkg/model"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/util/sets"
)

const (
	clusterID = "Kubernetes"
	domain    = "cluster.local"
	// The version that a sidecar of this control plane reports; older ones are served otherwise.
	proxyVersion = "1.31.0"
)

// policy is what Istio would hold: the objects that were not rejected.
type policy struct {
	configs  []config.Config
	services []*model.Service
}

// admission decides which objects the API server takes: the CRDs' schemas first, then Istio's webhook.
type admission struct {
	schemas *validation.Validator
}

func newAdmission(crds string) (*admission, error) {
	schemas, err := validation.NewValidatorFromFilesWithOptions([]string{crds}, validation.WithoutCRDValidation())
	if err != nil {
		return nil, err
	}
	return &admission{schemas}, nil
}

// review adds the document to the policy, or says why it would be rejected.
func (a *admission) review(document json.RawMessage, accepted *policy) review {
	var kind struct{ APIVersion, Kind string }
	if err := json.Unmarshal(document, &kind); err != nil {
		return review{Rejected: err.Error()}
	}
	switch kind.Kind {
	case "Pod", "Deployment", "Namespace":
		// For the analyzer alone.
		return review{}
	}
	if kind.APIVersion == "v1" && kind.Kind == "Service" {
		// The API server's own rules for Services are not asked: the worlds hold none that break them.
		var service corev1.Service
		if err := json.Unmarshal(document, &service); err != nil {
			return review{Rejected: err.Error()}
		}
		accepted.services = append(accepted.services, kubeservice.ConvertService(service, nil, domain, clusterID, domain))
		return review{}
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(document); err != nil {
		return review{Rejected: err.Error()}
	}
	if err := a.schemas.ValidateCustomResource(object); err != nil {
		return review{Rejected: err.Error()}
	}
	var wire crd.IstioKind
	if err := json.Unmarshal(document, &wire); err != nil {
		return review{Rejected: err.Error()}
	}
	gvk := wire.GroupVersionKind()
	schema, known := collections.PilotGatewayAPI().FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&gvk))
	if !known {
		return review{Rejected: fmt.Sprintf("unknown kind %v", gvk)}
	}
	object2, err := crd.ConvertObject(schema, &wire, domain)
	if err != nil {
		return review{Rejected: err.Error()}
	}
	warning, err := schema.ValidateConfig(*object2)
	var said review
	if warning != nil {
		said.Warning = warning.Error()
	}
	if err != nil {
		said.Rejected = err.Error()
		return said
	}
	accepted.configs = append(accepted.configs, *object2)
	return said
}

// configuration is what a sidecar would be sent.
type configuration struct {
	listeners []*listener.Listener
	// The route tables, as several runs made them: Istio goes through maps, whose order is another one each time, and where
	// two services claim the same domain the first keeps it.
	routes   []routeTables
	clusters map[string]*cluster.Cluster
}

type routeTables map[string]*route.RouteConfiguration

// tablesOf makes the route tables that the listeners name, each once: a sidecar subscribes to a set of names. Asked a second
// time for a table of one service, Istio's generator gives an empty one.
func tablesOf(generator *core.ConfigGenTest, proxy *model.Proxy, listeners []*listener.Listener) routeTables {
	names := sets.New(core.ExtractRoutesFromListeners(listeners)...)
	made, _ := generator.ConfigGen.BuildHTTPRoutes(
		proxy, &model.PushRequest{Push: generator.PushContext()}, sets.SortedList(names))
	tables := routeTables{}
	for _, resource := range made {
		table := &route.RouteConfiguration{}
		if err := resource.Resource.UnmarshalTo(table); err != nil {
			panic(fmt.Sprintf("route table %s of Istio's own: %v", resource.Name, err))
		}
		tables[table.Name] = table
	}
	return tables
}

// runs is how often route tables are made. Two services that meet in one domain come in the same order in all runs once
// in 2^(runs-1) times.
const runs = 10

// serial keeps the names of generated proxies apart; nothing depends on them.
var serial atomic.Int64

// panicked tells that Istio's generator fell over a policy.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

func generate(w *world, accepted *policy) (*configuration, error) {
	meshConfig, err := mesh.ApplyMeshConfigDefaults(w.Mesh)
	if err != nil {
		return nil, fmt.Errorf("mesh config: %w", err)
	}
	made := &configuration{clusters: map[string]*cluster.Cluster{}}
	var fell *panicked
	err = test.Wrap(func(t test.Failer) {
		// Here, since this runs in a goroutine of its own. An istiod does not recover.
		defer func() {
			if value := recover(); value != nil {
				fell = &panicked{value}
			}
		}()
		generator := core.NewConfigGenTest(t, core.TestOptions{
			Configs:    accepted.configs,
			Services:   accepted.services,
			MeshConfig: meshConfig,
			ClusterID:  clusterID,
		})
		// The injector gives a pod these settings of the mesh as metadata of its proxy.
		metadata := meshConfig.GetDefaultConfig().GetProxyMetadata()
		// As istiod sets them for a pod that connects.
		locality := pm.SanitizeLocalityLabel(pm.GetLocalityLabel(w.Labels))
		proxy := generator.SetupProxy(&model.Proxy{
			ID:              fmt.Sprintf("caller-%d.%s", serial.Add(1), w.Namespace),
			ConfigNamespace: w.Namespace,
			Labels:          label.AugmentLabels(w.Labels, clusterID, locality, "", ""),
			Locality:        util.ConvertLocality(locality),
			Metadata: &model.NodeMetadata{
				Namespace:    w.Namespace,
				Labels:       w.Labels,
				IstioVersion: proxyVersion,
				ClusterID:    clusterID,
				DNSCapture:   metadata["ISTIO_META_DNS_CAPTURE"] == "true",
				// As the injector sets them: no other listener may take these.
				EnvoyStatusPort:     15021,
				EnvoyPrometheusPort: 15090,
			},
		})
		made.listeners = generator.Listeners(proxy)
		for range runs {
			made.routes = append(made.routes, tablesOf(generator, proxy, made.listeners))
		}
		for _, c := range generator.Clusters(proxy) {
			if c.GetType() == cluster.Cluster_EDS {
				// Sent apart; a sidecar has both.
				builder := endpoints.NewEndpointBuilder(c.Name, proxy, generator.PushContext())
				c.LoadAssignment = builder.BuildClusterLoadAssignment(generator.Env().EndpointIndex)
			}
			if !isRefused(c) {
				made.clusters[c.Name] = c
			}
		}
	})
	if fell != nil {
		return nil, fell
	}
	return made, err
}
