package view

import "time"

// Phases of the daemon's life.
const (
	PhaseReading = "reading the kernel"
	PhaseWaiting = "waiting for the first list of Services and EndpointSlices"
	PhaseFilling = "programming what was listed at the start"
	PhaseRunning = "running"

	PhaseNoDaemon = "no daemon answers: this is what the kernel has" // told by the command itself
)

// Status is the daemon at a glance.
type Status struct {
	Version string    `json:"version"`
	Node    string    `json:"node"`
	Kernel  string    `json:"kernel"` // its release
	Source  string    `json:"source"` // where Services come from
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	Phase   string    `json:"phase"`

	Healthy  bool      `json:"healthy"`
	Eligible bool      `json:"eligible"` // load balancers should send traffic to this node
	Updated  time.Time `json:"updated"`  // when the last round ended
	Waiting  float64   `json:"waitingSeconds"`
	Complete bool      `json:"complete"` // the source knows all objects

	Services       int          `json:"services"` // known
	Served         int          `json:"served"`   // with a virtual server
	VirtualServers Count        `json:"virtualServers"`
	RealServers    int          `json:"realServers"` // in the kernel
	Addresses      Count        `json:"addresses"`
	Entries        Count        `json:"entries"`
	Draining       int          `json:"draining"`
	DrainedBy      *time.Time   `json:"drainedBy"`   // the last deadline; nil: none drains, or one has no deadline
	Connections    int          `json:"connections"` // as of the last whole audit
	LastSync       *Sync        `json:"lastSync"`    // that wrote something
	LastError      *Error       `json:"lastError"`
	Drift          Drift        `json:"drift"`
	Audit          Audit        `json:"audit"`
	Problems       []Reason     `json:"problems"`
	NoLocal        NoLocal      `json:"noLocalEndpoints"`
	Notes          []string     `json:"notes"` // what somebody should know
	Recent         []Occurrence `json:"recent"`
	Contacts       []Contact    `json:"contacts"` // with the API server; none with a directory
}

// Contact is how the API server answered when it was last asked for objects of one kind.
type Contact struct {
	Kind      string     `json:"kind"`
	Connected bool       `json:"connected"`
	Answered  *time.Time `json:"answered"` // well; nil: never
	Since     *time.Time `json:"since"`    // when the first request after that failed, or began that has no answer; nil: all is well
	Error     string     `json:"error,omitempty"`
}

// Count is how many are desired or there, and for how many of them the kernel is not as desired.
type Count struct {
	Total   int `json:"total"`
	Pending int `json:"pending"`
}

// Sync is a round that wrote something.
type Sync struct {
	Ended    time.Time `json:"ended"`
	Seconds  float64   `json:"seconds"`
	Services int       `json:"services"`
	Writes   uint64    `json:"writes"`
}

// Error is the last error of a round.
type Error struct {
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
	Current bool      `json:"current"` // the last round failed; otherwise it has been put right
}

// Drift is what was found in the kernel other than Fairlead left it, and was put right.
type Drift struct {
	Rules     uint64     `json:"rulesAndEntries"`
	Servers   uint64     `json:"servers"`
	Addresses uint64     `json:"addresses"`
	Last      *time.Time `json:"last"`
}

// Audit is the comparison of the whole kernel with what it should be.
type Audit struct {
	Ended  *time.Time `json:"ended"` // the last whole one; nil: none has
	Period float64    `json:"periodSeconds"`
}

// Reason is how many problems there are of one kind.
type Reason struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// NoLocal is how many Services have endpoints, but none on this node that a Local policy could use.
type NoLocal struct {
	Internal int `json:"internal"`
	External int `json:"external"`
}

// Occurrence is something that happened, for people.
type Occurrence struct {
	At      time.Time `json:"at"`
	Service string    `json:"service,omitempty"`
	Text    string    `json:"text"`
}
