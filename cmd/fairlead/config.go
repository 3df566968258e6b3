package main

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
)

// Config is the whole configuration, checked: a Config that loadConfig returns
// has been through every rule of keys.go and validate.go. It is filled once at
// start and never changed, so it may be read from anywhere.
//
// A field's name is its key in another spelling of upper and lower case, and
// that is how viper finds it. What each key means is said once, in keys.go.
type Config struct {
	HostnameOverride   string // lower-cased; empty: ask the kernel
	Source             SourceConfig
	ClientConnection   ClientConnectionConfig
	DummyInterface     DummyInterfaceConfig
	IPVS               IPVSConfig
	IPTables           IPTablesConfig
	ClusterCIDR        []netip.Prefix // none, one, or one per family
	DetectLocalMode    string
	DetectLocal        DetectLocalConfig
	NodePortAddresses  []string // CIDRs and the keywords primary, localhost, all; none: all
	ExternalIPs        ExternalIPsConfig
	HealthzBindAddress netip.AddrPort // the zero value disables
	MetricsBindAddress netip.AddrPort // the zero value disables
	StatusBindAddress  netip.AddrPort // the zero value disables
	Metrics            MetricsConfig
	SocketPath         string // "": none
	Conntrack          ConntrackConfig
	Takeover           TakeoverConfig
	OOMScoreAdj        int
	EnableProfiling    bool
	Logging            LoggingConfig
}

// SourceConfig says where Services, EndpointSlices and Nodes come from.
type SourceConfig struct {
	Kind      string // sourceKubernetes or sourceDirectory
	Directory string // set when Kind is sourceDirectory
}

// ClientConnectionConfig is the way to the API server.
type ClientConnectionConfig struct {
	Kubeconfig string // empty: in-cluster
	QPS        float64
	Burst      int
}

// DummyInterfaceConfig describes the device that holds the VIPs.
type DummyInterfaceConfig struct {
	Name string
	Bind string // bindAddress or bindRoute
}

// IPVSConfig holds what concerns the kernel's virtual servers and the pace at
// which they are written.
type IPVSConfig struct {
	Scheduler      string
	SchedulerFlags []string
	SyncPeriod     time.Duration // > 0
	MinSyncPeriod  time.Duration // <= SyncPeriod
	ExcludeCIDRs   []netip.Prefix
	StrictARP      bool
	TCPTimeout     time.Duration // 0: leave the kernel's
	TCPFinTimeout  time.Duration // 0: leave the kernel's
	UDPTimeout     time.Duration // 0: leave the kernel's
	DrainTimeout   time.Duration // 0: no limit
	Estimation     string        // estimationOn, estimationOff or estimationAuto
	EstimationCPUs string        // as in est_cpulist; "": the kernel's
	EstimationNice int           // -20 to 19
	FWMarkBase     uint32        // no bit in common with FWMarkMask
	FWMarkMask     uint32
}

// marks are the firewall marks that may be given out: none has the bit that asks for masquerading.
func (c IPVSConfig) marks(masqueradeBit int) fwmark.Range {
	return fwmark.Range{Base: c.FWMarkBase, Mask: c.FWMarkMask &^ (1 << masqueradeBit)}
}

// ExternalIPsConfig says which addresses Services may take.
type ExternalIPsConfig struct {
	AllowedCIDRs []netip.Prefix // none: all
	CheckNodes   bool
}

// MetricsConfig says what /metrics tells of each Service.
type MetricsConfig struct {
	MaxVirtualServers int // with series of their own
	PerEndpoint       bool
}

// IPTablesConfig holds what the constant rules need to know.
type IPTablesConfig struct {
	MasqueradeAll bool
	MasqueradeBit int // 0 to 31
}

// DetectLocalConfig goes with some values of Config.DetectLocalMode.
type DetectLocalConfig struct {
	BridgeInterface     string
	InterfaceNamePrefix string
}

// ConntrackConfig holds the node's connection tracking sysctls.
type ConntrackConfig struct {
	MaxPerCore            int
	Min                   int
	TCPEstablishedTimeout time.Duration
	TCPCloseWaitTimeout   time.Duration
	TCPBeLiberal          bool
	UDPTimeout            time.Duration
	UDPStreamTimeout      time.Duration
}

// TakeoverConfig says what happens to what kube-proxy left.
type TakeoverConfig struct {
	RemoveKubeProxy bool
}

// LoggingConfig shapes the log.
type LoggingConfig struct {
	Format string // logText or logJSON
	Level  slog.Level
}

// The words that keys accept, for those who compare with them.
const (
	sourceKubernetes = "kubernetes"
	sourceDirectory  = "directory"

	bindAddress = "address"
	bindRoute   = "route"

	estimationOn   = "on"
	estimationOff  = "off"
	estimationAuto = "auto"

	localClusterCIDR         = "ClusterCIDR"
	localNodeCIDR            = "NodeCIDR"
	localBridgeInterface     = "BridgeInterface"
	localInterfaceNamePrefix = "InterfaceNamePrefix"

	logText = "text"
	logJSON = "json"
)
