package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"istio.io/istio/pkg/config/analysis"
	"istio.io/istio/pkg/config/analysis/analyzers/annotations"
	"istio.io/istio/pkg/config/analysis/analyzers/deployment"
	"istio.io/istio/pkg/config/analysis/analyzers/destinationrule"
	"istio.io/istio/pkg/config/analysis/analyzers/injection"
	"istio.io/istio/pkg/config/analysis/analyzers/schema"
	"istio.io/istio/pkg/config/analysis/analyzers/service"
	"istio.io/istio/pkg/config/analysis/analyzers/serviceentry"
	"istio.io/istio/pkg/config/analysis/analyzers/sidecar"
	"istio.io/istio/pkg/config/analysis/analyzers/virtualservice"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/config/schema/collections"
)

// finding is one message of the analyzer.
type finding struct {
	Code      string `json:"code"`
	Level     string `json:"level"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Message   string `json:"message"`
}

// analyses is how often the analyzer is asked: where two objects claim the same, it goes by the order of a small map, in which
// one may come before the other in seven of eight runs.
const analyses = 60

// analyzed is what `istioctl analyze` says about files.
type analyzed struct {
	Always    []finding `json:"always,omitempty"`
	Sometimes []finding `json:"sometimes,omitempty"` // in some of the runs only
}

// egress are the analyzers that look at objects which outbound traffic goes by.
func egress() analysis.CombinedAnalyzer {
	return analysis.Combine("egress",
		&annotations.K8sAnalyzer{},
		&deployment.ApplicationUIDAnalyzer{},
		&destinationrule.CaCertificateAnalyzer{},
		&destinationrule.PodNotSelectedAnalyzer{},
		&injection.Analyzer{},
		schema.CollectionValidationAnalyzer(collections.DestinationRule),
		schema.CollectionValidationAnalyzer(collections.ServiceEntry),
		schema.CollectionValidationAnalyzer(collections.Sidecar),
		schema.CollectionValidationAnalyzer(collections.VirtualService),
		&service.PortNameAnalyzer{},
		&serviceentry.ConflictingServiceEntryProtocolAnalyzer{},
		&serviceentry.ProtocolAddressesAnalyzer{},
		&sidecar.SelectorAnalyzer{},
		&virtualservice.ConflictingMeshGatewayHostsAnalyzer{},
		&virtualservice.DestinationHostAnalyzer{},
		&virtualservice.DestinationRuleAnalyzer{},
		&virtualservice.GatewayAnalyzer{},
	)
}

// analyze asks as `istioctl analyze --use-kube=false --meshConfigFile` does, without the ingress gateway that it makes up.
func analyze(mesh string, documents []json.RawMessage) (*analyzed, error) {
	if len(documents) == 0 {
		return &analyzed{}, nil
	}
	source := local.NewSourceAnalyzer(egress(), "", constants.IstioSystemNamespace, nil)
	if err := setMesh(source, mesh); err != nil {
		return nil, err
	}
	manifests := bytes.Join(raw(documents), []byte("\n---\n"))
	if err := source.AddTestReaderKubeSource([]local.ReaderSource{{Name: "world", Reader: bytes.NewReader(manifests)}}); err != nil {
		return nil, fmt.Errorf("analyzer: %w", err)
	}
	cancel := make(chan struct{})
	defer close(cancel)
	if err := source.Init(cancel); err != nil {
		return nil, err
	}
	// Several messages of one code about one object count once.
	seen, said := map[finding]int{}, map[finding]string{}
	runs := 1
	if contested(documents) {
		runs = analyses
	}
	for range runs {
		result, err := source.ReAnalyze(cancel)
		if err != nil {
			return nil, err
		}
		once := map[finding]bool{}
		for _, m := range result.Messages {
			meta := m.Resource.Metadata
			f := finding{
				Code:      m.Type.Code(),
				Level:     strings.ToLower(m.Type.Level().String()),
				Kind:      meta.Schema.Kind(),
				Namespace: meta.FullName.Namespace.String(),
				Name:      meta.FullName.Name.String(),
			}
			once[f] = true
			said[f] = fmt.Sprintf(m.Type.Template(), m.Parameters...)
		}
		for f := range once {
			seen[f]++
		}
	}
	found := &analyzed{}
	for f, times := range seen {
		f.Message = said[f]
		if times == runs {
			found.Always = append(found.Always, f)
		} else {
			found.Sometimes = append(found.Sometimes, f)
		}
	}
	return found, nil
}

// contested is true where two ServiceEntries may declare the same host.
func contested(documents []json.RawMessage) bool {
	seen := map[string]bool{}
	for _, document := range documents {
		var entry struct {
			Kind string
			Spec struct{ Hosts []string }
		}
		if json.Unmarshal(document, &entry) != nil || entry.Kind != "ServiceEntry" {
			continue
		}
		for _, host := range entry.Spec.Hosts {
			if strings.HasPrefix(host, "*") {
				host = "*"
			}
			if seen[host] {
				return true
			}
			seen[host] = true
		}
	}
	return false
}

func raw(documents []json.RawMessage) [][]byte {
	texts := make([][]byte, len(documents))
	for i, document := range documents {
		texts[i] = document
	}
	return texts
}

// setMesh hands over the mesh config in the only way there is: as a file.
func setMesh(source *local.IstiodAnalyzer, mesh string) error {
	file, err := os.CreateTemp("", "mesh-config-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.WriteString(mesh); err != nil {
		return err
	}
	return source.AddFileKubeMeshConfig(file.Name())
}
