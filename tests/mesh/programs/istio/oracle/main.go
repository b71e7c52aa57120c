// Command oracle says what Istio makes of policies and calls: it validates objects as the API server and Istio's webhook
// would, generates a sidecar's configuration with Istio's own generator, and chooses within it as Envoy documents it.
//
// It reads one world a line from standard input and writes one verdict a line to standard output, both JSON.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"istio.io/istio/pkg/log"
)

// world is a policy, who calls under it, and the calls.
type world struct {
	Mesh      string            // mesh config, as YAML
	Documents []json.RawMessage // objects; those that would be rejected are left out of the policy
	Namespace string
	Labels    map[string]string
	Calls     []call
	Analyze   bool // whether to ask the analyzer too
}

// call is one connection, with its request where HTTP is spoken.
type call struct {
	Address  string
	Port     uint32
	Protocol string // http, http2, http1.0, tls or tcp
	SNI      string
	Host     string
	Method   string
	Path     string
	Headers  map[string]string
}

// verdict answers a world.
type verdict struct {
	Documents []review  `json:"documents"`          // one for each document
	Answers   []answer  `json:"answers,omitempty"`  // one for each call
	Analyzed  *analyzed `json:"analyzed,omitempty"` // of the documents that are not rejected
	Error     string    `json:"error,omitempty"`    // why there is no configuration at all
	Panic     string    `json:"panic,omitempty"`    // what Istio's own code fell over, which ends an istiod
}

// review is what becomes of one document.
type review struct {
	Rejected string `json:"rejected,omitempty"`
	Warning  string `json:"warning,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: oracle CRDS.yaml < worlds > verdicts")
	}
	options := log.DefaultOptions()
	options.SetDefaultOutputLevel(log.OverrideScopeName, log.NoneLevel)
	if err := log.Configure(options); err != nil {
		return err
	}
	admission, err := newAdmission(args[0])
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var w world
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return err
		}
		if err := answers.Encode(judge(admission, &w)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(admission *admission, w *world) verdict {
	v := verdict{Documents: []review{}}
	var accepted policy
	var taken []json.RawMessage
	for _, document := range w.Documents {
		said := admission.review(document, &accepted)
		v.Documents = append(v.Documents, said)
		if said.Rejected == "" {
			taken = append(taken, document)
		}
	}
	if w.Analyze {
		var err error
		if v.Analyzed, err = analyze(w.Mesh, taken); err != nil {
			v.Error = err.Error()
			return v
		}
	}
	if len(w.Calls) == 0 {
		return v
	}
	configuration, err := generate(w, &accepted)
	var fell *panicked
	if errors.As(err, &fell) {
		v.Panic = fell.Error()
		return v
	}
	if err != nil {
		v.Error = err.Error()
		return v
	}
	for i := range w.Calls {
		v.Answers = append(v.Answers, configuration.decide(&w.Calls[i]))
	}
	return v
}
