package main

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-proxy/config/v1alpha1"
)

// kubeProxyField says what becomes of one field of kube-proxy's configuration.
type kubeProxyField struct {
	path  string
	value any    // zero or a nil pointer: kube-proxy's default, which is ours
	key   string // the key that takes it over; "": none does
	why   string // none does
	text  string // what the key gets, where that is not simply the value
}

// says returns what the field says as a key takes it, and whether it says anything.
func (f kubeProxyField) says() (text string, ok bool) {
	v := reflect.ValueOf(f.value)
	if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
		return "", false
	}
	if f.text != "" {
		return f.text, true
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch value := v.Interface().(type) {
	case metav1.Duration:
		return value.Duration.String(), true
	case []string:
		return strings.Join(value, ","), true
	default:
		return fmt.Sprint(value), true
	}
}

// kubeProxyFields returns every field of kube-proxy's configuration with what becomes of it.
func kubeProxyFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	return slices.Concat(processFields(c), trafficFields(c), ipvsFields(c), modeFields(c), conntrackFields(c), strangeFields(c))
}

// processFields are about the process and the API server.
func processFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	client := c.ClientConnection
	qps := ""
	if client.QPS < 0 {
		qps = "1e6" // client-go: no limit
	}
	level := "info"
	if c.Logging.Verbosity >= 4 { // what Kubernetes calls the level of debugging
		level = "debug"
	}
	return []kubeProxyField{
		{path: "hostnameOverride", value: c.HostnameOverride, key: "hostnameOverride"},
		{path: "clientConnection.kubeconfig", value: client.Kubeconfig, key: "clientConnection.kubeconfig"},
		{path: "clientConnection.qps", value: client.QPS, key: "clientConnection.qps", text: qps},
		{path: "clientConnection.burst", value: client.Burst, key: "clientConnection.burst"},
		{path: "clientConnection.contentType", value: client.ContentType, why: "Fairlead always speaks protobuf where the API server does."},
		{path: "clientConnection.acceptContentTypes", value: client.AcceptContentTypes, why: "Fairlead always speaks protobuf where the API server does."},
		{path: "healthzBindAddress", value: c.HealthzBindAddress, key: "healthzBindAddress", text: withPort(c.HealthzBindAddress, "10256")},
		{path: "metricsBindAddress", value: c.MetricsBindAddress, key: "metricsBindAddress", text: withPort(c.MetricsBindAddress, "10249")},
		{path: "enableProfiling", value: c.EnableProfiling, key: "enableProfiling"},
		{path: "oomScoreAdj", value: c.OOMScoreAdj, key: "oomScoreAdj"},
		{path: "logging.format", value: c.Logging.Format, key: "logging.format"},
		{path: "logging.verbosity", value: c.Logging.Verbosity, key: "logging.level", text: level},
	}
}

// withPort completes an address without a port, as kube-proxy does.
func withPort(addr, port string) string {
	if ip, err := netip.ParseAddr(addr); err == nil {
		return net.JoinHostPort(ip.String(), port)
	}
	return addr
}

// trafficFields are about what is served and what is masqueraded, in any mode.
func trafficFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	return []kubeProxyField{
		{path: "clusterCIDR", value: c.ClusterCIDR, key: "clusterCIDR"},
		{path: "detectLocalMode", value: c.DetectLocalMode, key: "detectLocalMode"},
		{path: "detectLocal.bridgeInterface", value: c.DetectLocal.BridgeInterface, key: "detectLocal.bridgeInterface"},
		{path: "detectLocal.interfaceNamePrefix", value: c.DetectLocal.InterfaceNamePrefix, key: "detectLocal.interfaceNamePrefix"},
		{path: "nodePortAddresses", value: c.NodePortAddresses, key: "nodePortAddresses"},
	}
}

// ipvsFields count in every mode, for Fairlead has only this one.
func ipvsFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	return []kubeProxyField{
		{path: "ipvs.scheduler", value: c.IPVS.Scheduler, key: "ipvs.scheduler"},
		{path: "ipvs.excludeCIDRs", value: c.IPVS.ExcludeCIDRs, key: "ipvs.excludeCIDRs"},
		{path: "ipvs.strictARP", value: c.IPVS.StrictARP, key: "ipvs.strictARP"},
		{path: "ipvs.tcpTimeout", value: c.IPVS.TCPTimeout, key: "ipvs.tcpTimeout", text: seconds(c.IPVS.TCPTimeout)},
		{path: "ipvs.tcpFinTimeout", value: c.IPVS.TCPFinTimeout, key: "ipvs.tcpFinTimeout", text: seconds(c.IPVS.TCPFinTimeout)},
		{path: "ipvs.udpTimeout", value: c.IPVS.UDPTimeout, key: "ipvs.udpTimeout", text: seconds(c.IPVS.UDPTimeout)},
	}
}

// seconds is a timeout in whole seconds, as kube-proxy gives it to the kernel.
func seconds(d metav1.Duration) string { return d.Truncate(time.Second).String() }

func secondsOf(d *metav1.Duration) string {
	if d == nil {
		return ""
	}
	return seconds(*d)
}

func conntrackFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	t := c.Conntrack
	return []kubeProxyField{
		{path: "conntrack.maxPerCore", value: t.MaxPerCore, key: "conntrack.maxPerCore"},
		{path: "conntrack.min", value: t.Min, key: "conntrack.min"},
		{path: "conntrack.tcpEstablishedTimeout", value: t.TCPEstablishedTimeout, key: "conntrack.tcpEstablishedTimeout", text: secondsOf(t.TCPEstablishedTimeout)},
		{path: "conntrack.tcpCloseWaitTimeout", value: t.TCPCloseWaitTimeout, key: "conntrack.tcpCloseWaitTimeout", text: secondsOf(t.TCPCloseWaitTimeout)},
		{path: "conntrack.tcpBeLiberal", value: t.TCPBeLiberal, key: "conntrack.tcpBeLiberal"},
		{path: "conntrack.udpTimeout", value: t.UDPTimeout, key: "conntrack.udpTimeout", text: seconds(t.UDPTimeout)},
		{path: "conntrack.udpStreamTimeout", value: t.UDPStreamTimeout, key: "conntrack.udpStreamTimeout", text: seconds(t.UDPStreamTimeout)},
	}
}

// strangeFields have no meaning here in any mode.
func strangeFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	windows := "Fairlead runs on Linux."
	logging := "Fairlead writes every line at once, to standard error."
	bind := c.BindAddress
	if ip, err := netip.ParseAddr(bind); err == nil && ip.IsUnspecified() {
		bind = "" // the usual value, which overrides nothing
	}
	flush := c.Logging.FlushFrequency.Duration
	if flush.Duration == 5*time.Second {
		flush.Duration = 0 // kube-proxy's default
	}
	return []kubeProxyField{
		{path: "bindAddress", value: bind, why: "The node's addresses are those of the Node object. Only the family counts, for the\ndefaults of healthzBindAddress and metricsBindAddress."},
		{path: "bindAddressHardFail", value: c.BindAddressHardFail, why: "A port that is taken is tried again until it is free."},
		{path: "configSyncPeriod", value: c.ConfigSyncPeriod, why: "Objects are watched; there is nothing to refresh."},
		{path: "featureGates", value: c.FeatureGates, text: fmt.Sprint(c.FeatureGates), why: "They are kube-proxy's. Fairlead has none."},
		{path: "portRange", value: c.PortRange, why: "kube-proxy itself has ignored it since it lost its user space mode."},
		{path: "showHiddenMetricsForVersion", value: c.ShowHiddenMetricsForVersion, why: "Fairlead hides no metrics."},
		{path: "logging.flushFrequency", value: flush, why: logging},
		{path: "logging.vmodule", value: c.Logging.VModule, text: fmt.Sprint(c.Logging.VModule), why: "There is one level for all: logging.level."},
		{path: "logging.options.text.splitStream", value: c.Logging.Options.Text.SplitStream, why: logging},
		{path: "logging.options.text.infoBufferSize", value: c.Logging.Options.Text.InfoBufferSize.Value(), why: logging},
		{path: "logging.options.json.splitStream", value: c.Logging.Options.JSON.SplitStream, why: logging},
		{path: "logging.options.json.infoBufferSize", value: c.Logging.Options.JSON.InfoBufferSize.Value(), why: logging},
		{path: "winkernel.networkName", value: c.Winkernel.NetworkName, why: windows},
		{path: "winkernel.sourceVip", value: c.Winkernel.SourceVip, why: windows},
		{path: "winkernel.enableDSR", value: c.Winkernel.EnableDSR, why: windows},
		{path: "winkernel.rootHnsEndpointName", value: c.Winkernel.RootHnsEndpointName, why: windows},
		{path: "winkernel.forwardHealthCheckVip", value: c.Winkernel.ForwardHealthCheckVip, why: windows},
		{path: "windowsRunAsService", value: c.WindowsRunAsService, why: windows},
	}
}
