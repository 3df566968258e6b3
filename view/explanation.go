package view

import "time"

// Explanation is a Service from what the cluster says to what the kernel does.
type Explanation struct {
	Service
	Created   time.Time `json:"created"`
	Internal  string    `json:"internalTrafficPolicy"`
	External  string    `json:"externalTrafficPolicy"`
	Affinity  string    `json:"sessionAffinity"`
	Verdicts  []Verdict `json:"endpoints"`
	Paths     []Path    `json:"paths"`
	Settings  []string  `json:"settings,omitempty"` // what annotations decide
	Remarks   []string  `json:"remarks,omitempty"`  // what is easily overlooked
	HealthNow string    `json:"healthCheck,omitempty"`
}

// Verdict is what becomes of an endpoint on this node, and why.
type Verdict struct {
	Port        string `json:"port"`
	Protocol    string `json:"protocol"`
	Address     string `json:"address"`
	Node        string `json:"node"`
	Slice       string `json:"slice"`
	Ready       bool   `json:"ready"`
	Serving     bool   `json:"serving"`
	Terminating bool   `json:"terminating"`
	Weight      int    `json:"weight"`
	In          bool   `json:"in"`    // among those for everybody
	Why         string `json:"why"`   // it is, or is not
	Local       bool   `json:"local"` // among those for a Local policy
	WhyLocal    string `json:"whyLocal"`
}

// Path is how a packet of one kind of client fares at a virtual server.
type Path struct {
	Server     string   `json:"server"`
	From       string   `json:"from"` // a pod, this node, outside
	To         string   `json:"to"`   // which endpoints, or what happens instead
	Endpoints  []string `json:"endpoints"`
	Masquerade string   `json:"masquerade"` // whether the endpoint sees the client's address, and why
}
