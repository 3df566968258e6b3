package view

import "context"

// Source is who knows: the controller in this process, or, by Client, in another one. It is safe for concurrent
// use.
type Source interface {
	Status(context.Context) (Status, error)
	Services(context.Context, Filter) (Services, error)
	Endpoints(context.Context, Filter) ([]Endpoint, error)
	Addresses(context.Context, Filter) ([]Address, error)
	Sets(context.Context, Filter) ([]Entry, error)
	// Explain says why a Service is served as it is: namespace/name, address:port or address.
	Explain(ctx context.Context, what string) ([]Explanation, error)
	// Owners says which Service has each virtual server.
	Owners(context.Context) ([]Owner, error)
}

// Owner is who has a virtual server.
type Owner struct {
	Server    string `json:"server"` // its Name
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Port      string `json:"port,omitempty"` // of one by firewall mark
}
