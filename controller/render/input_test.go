package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// input is one input file: documents of Services and EndpointSlices, and one of Options if need be.
type input struct {
	options  render.Options
	before   map[string]render.Settings // of the time before, by Service
	services map[string]*corev1.Service
	slices   map[string][]*discoveryv1.EndpointSlice
}

func read(t *testing.T, path string) input {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := input{
		options:  render.Options{Scheduler: "rr", NodeName: "this", IPv6: true},
		before:   map[string]render.Settings{},
		services: map[string]*corev1.Service{}, slices: map[string][]*discoveryv1.EndpointSlice{},
	}
	for n, document := range bytes.Split(data, []byte("\n---\n")) {
		if err := in.add(document); err != nil {
			t.Fatalf("%s: document %d: %v", path, n+1, err)
		}
	}
	return in
}

func (in *input) add(document []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	switch head.Kind {
	case "Service":
		svc := new(corev1.Service)
		if err := yaml.UnmarshalStrict(document, svc); err != nil {
			return err
		}
		in.services[svc.Name] = svc
	case "EndpointSlice":
		slice := new(discoveryv1.EndpointSlice)
		if err := yaml.UnmarshalStrict(document, slice); err != nil {
			return err
		}
		name := slice.Labels[discoveryv1.LabelServiceName]
		in.slices[name] = append(in.slices[name], slice)
		if _, exists := in.services[name]; !exists {
			in.services[name] = nil
		}
	case "Options":
		var o optionsDocument
		if err := yaml.UnmarshalStrict(document, &o); err != nil {
			return err
		}
		return o.into(in)
	default:
		return fmt.Errorf("kind %q", head.Kind)
	}
	return nil
}

// optionsDocument is what an input file says of render.Options, and of the settings that were in force
// before.
type optionsDocument struct {
	Kind    string `json:"kind"`
	Options struct {
		Scheduler          string            `json:"scheduler"`
		Flags              ipvs.Flags        `json:"flags"`
		Unusable           []string          `json:"unusable"` // schedulers that the kernel does not have
		NoIPv6             bool              `json:"noIPv6"`
		Zone               string            `json:"zone"`
		NodeIPs            []netip.Addr      `json:"nodeIPs"`
		NodePortAddrs      []netip.Addr      `json:"nodePortAddrs"`
		Localhost          bool              `json:"localhost"`
		Excluded           []netip.Prefix    `json:"excluded"`
		AllowedExternalIPs []netip.Prefix    `json:"allowedExternalIPs"`
		Refused            map[string]string `json:"refused"` // whose an address is
	} `json:"options"`
	Before map[string]struct {
		Scheduler    string            `json:"scheduler"`
		Flags        ipvs.Flags        `json:"flags"`
		DrainTimeout string            `json:"drainTimeout"`
		Weights      map[string]uint16 `json:"weights"`
	} `json:"before"`
}

func (d optionsDocument) into(in *input) error {
	from, to := d.Options, &in.options
	to.IPv6, to.Excluded, to.Flags, to.Zone = !from.NoIPv6, from.Excluded, from.Flags, from.Zone
	to.NodeIPs, to.NodePortAddrs, to.Localhost = from.NodeIPs, from.NodePortAddrs, from.Localhost
	to.AllowedExternalIPs = from.AllowedExternalIPs
	to.Refused = func(_ render.Kind, addr netip.Addr) string { return from.Refused[addr.String()] }
	to.Usable = func(scheduler string) error {
		if slices.Contains(from.Unusable, scheduler) {
			return errors.New("the kernel has no scheduler " + scheduler)
		}
		return nil
	}
	if from.Scheduler != "" {
		to.Scheduler = from.Scheduler
	}
	for name, b := range d.Before {
		s := render.Settings{Scheduler: b.Scheduler, Flags: b.Flags, Weights: b.Weights}
		if b.DrainTimeout != "" {
			timeout, err := time.ParseDuration(b.DrainTimeout)
			if err != nil {
				return err
			}
			s.DrainTimeout = &timeout
		}
		in.before[name] = s
	}
	return nil
}

// render renders the Services in order of name, the slices in the order that arrange gives them.
func (in *input) render(arrange func([]*discoveryv1.EndpointSlice)) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(in.services)) {
		list := in.slices[name]
		arrange(list)
		fmt.Fprintf(&out, "# %s\n%s\n", name, format(render.Service(in.services[name], readSlices(list), in.options, in.before[name])))
	}
	return out.String()
}

func readSlices(objects []*discoveryv1.EndpointSlice) (list []*render.Slice) {
	for _, object := range objects {
		list = append(list, render.NewSlice(object))
	}
	return list
}
